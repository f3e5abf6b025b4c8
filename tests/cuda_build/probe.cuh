// Included by probe.cu.
#pragma once
constexpr int kOffset = 1000000;
