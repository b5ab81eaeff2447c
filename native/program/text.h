// JSON strings in and out, and texts of strangers on a terminal.
#ifndef REACTNET_PROGRAM_TEXT_H_
#define REACTNET_PROGRAM_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

// The strings of the array under `key` in a JSON object, as UTF-8. The object is valid JSON: the library wrote or checked it. Empty if the
// key is not there or holds something else.
std::vector<std::string> string_list(std::string_view json, std::string_view key);

// The string under `key`, or "".
std::string string_value(std::string_view json, std::string_view key);

// A JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD.
std::string quoted(std::string_view text);

// For a terminal: control characters become question marks.
std::string printable(std::string_view text);

#endif  // REACTNET_PROGRAM_TEXT_H_
