#include <immintrin.h>
#include <stdio.h>
#include <sys/mman.h>
int main(void){ char*p=mmap(0,8192,PROT_READ|PROT_WRITE,MAP_PRIVATE|MAP_ANONYMOUS,-1,0); mprotect(p+4096,4096,PROT_NONE);
 float*f=(float*)(p+4096)-3; f[0]=1;f[1]=2;f[2]=3; __m256i m=_mm256_setr_epi32(-1,-1,-1,0,0,0,0,0);
 float o[8]; _mm256_storeu_ps(o,_mm256_maskload_ps(f,m)); printf("load ok %g %g\n",o[2],o[3]); fflush(stdout);
 _mm256_maskstore_ps(f,m,_mm256_set1_ps(7)); printf("store ok %g\n",f[2]); return 0;}
