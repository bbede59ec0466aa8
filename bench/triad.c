/* STREAM's triad, a = b + s * c, over all processors (J. McCalpin, https://www.cs.virginia.edu/stream/).
   triad_stream bypasses the caches on its stores where the processor has such stores: the machine's upper bound. */

#include <stddef.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

void triad(float *restrict a, const float *restrict b, const float *restrict c, float s, ptrdiff_t n)
{
#pragma omp parallel for simd schedule(static)
    for (ptrdiff_t i = 0; i < n; i++)
        a[i] = b[i] + s * c[i];
}

/* a must be aligned to 64 bytes and n a multiple of 16. */
void triad_stream(float *restrict a, const float *restrict b, const float *restrict c, float s, ptrdiff_t n)
{
#if defined(__AVX512F__)
    const __m512 scale = _mm512_set1_ps(s);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i += 16)
        _mm512_stream_ps(a + i, _mm512_fmadd_ps(scale, _mm512_loadu_ps(c + i), _mm512_loadu_ps(b + i)));
#elif defined(__AVX2__) && defined(__FMA__)
    const __m256 scale = _mm256_set1_ps(s);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i += 8)
        _mm256_stream_ps(a + i, _mm256_fmadd_ps(scale, _mm256_loadu_ps(c + i), _mm256_loadu_ps(b + i)));
#elif defined(__SSE2__)
    const __m128 scale = _mm_set1_ps(s);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i += 4)
        _mm_stream_ps(a + i, _mm_add_ps(_mm_mul_ps(scale, _mm_loadu_ps(c + i)), _mm_loadu_ps(b + i)));
#else
    triad(a, b, c, s, n);
#endif
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
