// A second file, for a second fatbin.
extern "C" __global__ void twice(float* value) { *value *= 2; }
