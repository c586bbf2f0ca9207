// Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16), time-major (T, N):
//   td_error_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t)
//   A_t        = td_error_t + gamma lambda (1 - (terminated_t or truncated_t)) A_{t+1}
//
// Element k = t N + n needs element k + N of the result alone, so the arrays are walked once, backwards and in one
// piece: every stream is sequential, and rows whose length is no multiple of the register leave no tails. With fewer
// environments than lanes the td errors are vectors and the recursion is not.
#pragma once

#include "fastpg/chunks.hpp"

namespace fastpg {
namespace FASTPG_ISA {

// kLanes<T> flags.
template <class T>
struct FlagsOf {
    typedef signed char type __attribute__((vector_size(kLanes<T>)));
};

template <class T>
FASTPG_INLINE typename FlagsOf<T>::type load_flags(const bool* from) {
    typename FlagsOf<T>::type flags;
    __builtin_memcpy(&flags, from, sizeof(flags));
    return flags;
}

// x where the flag is not set, else 0. Compared as bytes, so that the conversion is one sign extension.
template <class T>
FASTPG_INLINE Vec<T> unless(const typename FlagsOf<T>::type& flags, const Vec<T>& x) {
    return as_floats<T>(as_integers<T>(x) & __builtin_convertvector(flags == 0, IntVec<T>));
}

template <class T>
class GaeRecursion {
public:
    explicit GaeRecursion(const GaeArgs<T>& args)
        : a_(args), gamma_(static_cast<T>(args.gamma)), decay_(static_cast<T>(args.gamma * args.gae_lambda)) {}

    // Environments first ... end of all steps, at least a register of them: the same numbers as in one piece. What is
    // left of a row is the first register once more, which gives its numbers a second time.
    FASTPG_INLINE void run_columns(Index first, Index end) const {
        const Index ahead = a_.n_envs, rest = (end - first) % kLanes<T>;
        const auto none = [](Index, const Vec<T>&) { return Vec<T>{}; };
        const auto following = [this, ahead](Index k, const Vec<T>&) { return load(a_.out + k + ahead); };
        const auto fill_row = [this, first, end, rest](Index row, auto next) {
            fill(row + first + rest, row + end, Vec<T>{}, next, [](Index) { return T{0}; });
            if (rest > 0) {
                fill(row + first, row + first + kLanes<T>, Vec<T>{}, next, [](Index) { return T{0}; });
            }
        };
        const Index last_row = (a_.n_steps - 1) * ahead;
        fill_row(last_row, none);
        for (Index row = last_row - ahead; row >= 0; row -= ahead) fill_row(row, following);
    }

    FASTPG_INLINE void run() const {
        const Index n = a_.n_steps * a_.n_envs, ahead = a_.n_envs, last_row = n - ahead;
        if (n <= 0) return;
        const auto none = [](Index, const Vec<T>&) { return Vec<T>{}; };
        fill(last_row, n, Vec<T>{}, none, [](Index) { return T{0}; });
        if (ahead < kLanes<T>) {
            fill(0, last_row, Vec<T>{}, none, [](Index) { return T{0}; });
            return carry(last_row);
        }
        const auto one = [this, ahead](Index k) { return a_.out[k + ahead]; };
        if (ahead == kLanes<T>) {
            fill(0, last_row, load(a_.out + last_row), [](Index, const Vec<T>& last) { return last; }, one);
        } else {
            fill<true>(
                0, last_row, Vec<T>{}, [this, ahead](Index k, const Vec<T>&) { return load(a_.out + k + ahead); }, one);
        }
    }

private:
    FASTPG_INLINE bool is_end(Index k) const {
        return a_.terminated[k] | a_.truncated[k];
    }

    // out[k] <- td_error_k + what it carries over from following(k), for k from end - 1 down to first. `following` of a
    // register also gets the one stored before.
    // Chosen, not multiplied by zero: a NaN or infinity behind the end of an episode stays there.
    // With kAligned all registers but the first end where one does in memory, as a store across two cache lines takes
    // as long as two; the second repeats numbers of the first (all of them where it ends so already, as asking for that
    // makes the loop slower), so that `following` must not look at the register before.
    template <bool kAligned = false, class Following, class FollowingOne>
    FASTPG_INLINE void fill(Index first, Index end, Vec<T> last, Following following,
                            FollowingOne following_one) const {
        constexpr Index n = kLanes<T>;
        const auto step = [&](Index k) {
            const auto terminated = load_flags<T>(a_.terminated + k);
            const auto ended = terminated | load_flags<T>(a_.truncated + k);
            const Vec<T> bootstrap = unless<T>(terminated, load(a_.next_values + k));
            const Vec<T> td_error = multiply_add<T>(bootstrap, gamma_, load(a_.rewards + k)) - load(a_.values + k);
            last = multiply_add<T>(unless<T>(ended, following(k, last)), decay_, td_error);
            store(a_.out + k, last);
        };
        if constexpr (kAligned) {
            if (end - first > n) {
                step(end - n);
                end -= static_cast<Index>(reinterpret_cast<std::uintptr_t>(a_.out + end) % sizeof(Vec<T>) / sizeof(T));
            }
        }
        for (; end - first >= n; end -= n) step(end - n);
        for (Index k = end - 1; k >= first; --k) {
            const T bootstrap = a_.terminated[k] ? T{0} : a_.next_values[k];
            const T td_error = multiply_add(gamma_, bootstrap, a_.rewards[k]) - a_.values[k];
            a_.out[k] = multiply_add(decay_, is_end(k) ? T{0} : following_one(k), td_error);
        }
    }

    // out holds the td errors. Few environments: each one's recursion stays in a register.
    FASTPG_INLINE void carry(Index last_row) const {
        const Index n_envs = a_.n_envs;
        T next[kLanes<T>];
        for (Index i = 0; i < n_envs; ++i) next[i] = a_.out[last_row + i];
        for (Index row = last_row - n_envs; row >= 0; row -= n_envs) {
            for (Index i = 0; i < n_envs; ++i) {
                const Index k = row + i;
                next[i] = multiply_add(decay_, is_end(k) ? T{0} : next[i], a_.out[k]);
                a_.out[k] = next[i];
            }
        }
    }

    const GaeArgs<T> a_;
    const T gamma_;
    const T decay_;
};

// In one piece on one thread; else every thread takes a block of environments, the same one in every call, which finds
// its own part of the arrays in its cache. Blocks end where a cache line of the result does: two threads that write
// into one line take it from each other in every row. The cores' fetching ahead crosses that border all the same, up to
// the end of the page, and takes lines that the other thread has just written: in every row about as much time as a
// thousand numbers are worth, so blocks are wider than that.
template <class T>
void gae(const GaeArgs<T>& a, const Host& host) {
    constexpr Index kLeastWidth = 2 * 4096 / static_cast<Index>(sizeof(T));  // two pages
    struct Task {
        const GaeArgs<T>& args;
        Index n_blocks;

        Index first(Index block) const {
            constexpr Index kLine = kCacheLine / static_cast<Index>(sizeof(T));
            if (block == 0) return 0;
            if (block == n_blocks) return args.n_envs;
            const Index start = static_cast<Index>(reinterpret_cast<std::uintptr_t>(args.out) % kCacheLine / sizeof(T));
            return (args.n_envs * block / n_blocks + start) / kLine * kLine - start;
        }
    } task{a, smaller<Index>(host.n_threads, a.n_envs / kLeastWidth)};
    if (task.n_blocks < 2 || a.n_steps < 1) return GaeRecursion<T>(a).run();
    host.run(
        static_cast<int>(task.n_blocks),
        [](void* context, int block) {
            const Task& t = *static_cast<const Task*>(context);
            GaeRecursion<T>(t.args).run_columns(t.first(block), t.first(block + 1));
        },
        &task);
}

}  // namespace FASTPG_ISA
}  // namespace fastpg
