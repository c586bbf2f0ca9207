// An owned, zeroed, cache-line aligned array.
//
// Numbers are rounded up to whole cache lines, so that vector code may read and write up to the next multiple of 16.
#pragma once

#include "fastpg/simd.hpp"

#include <new>

namespace fastpg {
namespace FASTPG_ISA {

template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(Index n) {
        reset(n);
    }
    ~Buffer() {
        release();
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // Drops the contents and holds n zeros. Throws std::bad_alloc.
    void reset(Index n) {
        release();
        const std::size_t bytes = static_cast<std::size_t>(round_up(n, kPanel) + kPanel) * sizeof(T);
        data_ = static_cast<T*>(::operator new(bytes, std::align_val_t{kAlignment}));
        __builtin_memset(data_, 0, bytes);
    }

    T* data() {
        return data_;
    }
    const T* data() const {
        return data_;
    }

private:
    static constexpr std::size_t kAlignment = 64;  // a cache line

    void release() {
        if (data_ != nullptr) ::operator delete(data_, std::align_val_t{kAlignment});
        data_ = nullptr;
    }

    T* data_ = nullptr;
};

// Made before the buffers of a kernel that take about that many bytes together, and is called again and again. glibc
// takes large arrays from the operating system and returns them, so that every call would fault in each of their pages
// anew; once one array of this size has been freed, it keeps as much for the next call.
struct MemoryHint {
    explicit MemoryHint(std::size_t bytes) {
        void* memory = ::operator new(bytes);
        asm volatile("" : : "r"(memory) : "memory");  // not to be optimised away
        ::operator delete(memory);
    }
};

// Up to `capacity` objects, deleted with it.
template <class T>
class Owners {
public:
    explicit Owners(Index capacity) : items_(capacity), capacity_(capacity) {}
    ~Owners() {
        for (Index i = 0; i < size_; ++i) delete items_.data()[i];
    }
    Owners(const Owners&) = delete;
    Owners& operator=(const Owners&) = delete;

    void add(T* item) {
        items_.data()[size_++] = item;
    }
    Index size() const {
        return size_;
    }
    Index capacity() const {
        return capacity_;
    }
    T& operator[](Index i) {
        return *items_.data()[i];
    }

private:
    Buffer<T*> items_;
    Index capacity_;
    Index size_ = 0;
};

template <class T>
inline void copy(const T* from, Index n, T* to) {
    if (n > 0 && from != to) __builtin_memmove(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

constexpr Index kCacheLine = 64;

// Asks for the cache line of *from, to be in the second-level cache when it is needed some thousand cycles later.
template <class T>
FASTPG_INLINE void prefetch(const T* from) {
    __builtin_prefetch(from, 0, 2);
}

template <class T>
FASTPG_INLINE void copy_panel(const T* from, T* to) {
#pragma GCC unroll 16
    for (int i = 0; i < kPanel; i += kLanes<T>) store(to + i, load(from + i));
}

// kWidth <= n <= 2 kWidth numbers as two blocks that may overlap.
template <int kWidth, class T>
FASTPG_INLINE void copy_ends(const T* from, Index n, T* to) {
    struct Run {
        T number[kWidth];
    };
    Run first, last;
    __builtin_memcpy(&first, from, sizeof(first));
    __builtin_memcpy(&last, from + n - kWidth, sizeof(last));
    __builtin_memcpy(to, &first, sizeof(first));
    __builtin_memcpy(to + n - kWidth, &last, sizeof(last));
}

// Calls f with the width for `copy_ends` of 1 <= n < 16 numbers.
template <class Function>
FASTPG_INLINE void by_short(Index n, Function f) {
    if (n >= 8) return f(Constant<8>{});
    if (n >= 4) return f(Constant<4>{});
    if (n >= 2) return f(Constant<2>{});
    f(Constant<1>{});
}

// 1 <= n < 16 numbers, without a loop.
template <class T>
FASTPG_INLINE void copy_short(const T* from, Index n, T* to) {
    by_short(n, [=](auto width) { copy_ends<decltype(width)::value>(from, n, to); });
}

template <class T>
inline void set_zero(T* to, Index n) {
    if (n > 0) __builtin_memset(to, 0, static_cast<std::size_t>(n) * sizeof(T));
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
