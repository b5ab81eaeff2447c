// What the user has to mend: main prints it as `error:` and `hint:` and exits with 2.
#ifndef REACTNET_PROGRAM_MISTAKE_H_
#define REACTNET_PROGRAM_MISTAKE_H_

#include <string>

struct Mistake {
  std::string problem;  // where, and what is wrong with the value found
  std::string hint;     // the cure
};

#endif  // REACTNET_PROGRAM_MISTAKE_H_
