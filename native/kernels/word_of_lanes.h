// A bit for each of 64 numbers, y >= 0: at(i) gives number i and the next ones. Included inside namespace reactnet, behind
// not_negative() of an instruction set that gives the bits of a register as a number.
template <class At>
static inline uint64_t word_not_negative(At at) {
  uint64_t word = 0;
  for (int64_t i = 0; i < 64; i += kLanes) {
    word |= static_cast<uint64_t>(not_negative(at(i))) << i;
  }
  return word;
}
