// The first few floats of a register where a row ends: lanes that are off touch no memory. Included inside namespace
// reactnet, behind AllLanes of an instruction set without masked loads and stores.
struct SomeLanes {
  int64_t count;  // 0 to kLanes

  explicit inline SomeLanes(int64_t n) : count(n < kLanes ? n : kLanes) {}
  inline Floats load(const float* p) const {
    float v[kLanes] = {};
    memcpy(v, p, static_cast<size_t>(count) * sizeof(float));
    return AllLanes::load(v);
  }
  inline void store(float* p, Floats y) const {
    float v[kLanes];
    AllLanes::store(v, y);
    memcpy(p, v, static_cast<size_t>(count) * sizeof(float));
  }
};
