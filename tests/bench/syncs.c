/* What the disk does without anybody's code: one 4 KiB block written, and fdatasync(2), each time.
 *
 *     syncs FILE COUNT
 *
 * Prints the seconds for COUNT blocks at an advancing offset: first in a FILE that grows, then
 * over the same blocks once more, which spares the file system its own bookkeeping.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096 };

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0;
    int fd = count > 0 ? open(argv[1], O_CREAT | O_EXCL | O_WRONLY, 0600) : -1;
    char block[BLOCK];

    if (fd < 0)
        return 2;
    for (int pass = 0; pass < 2; pass++) {
        struct timespec begin, end;

        memset(block, 'a' + pass, sizeof block);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int i = 0; i < count; i++)
            if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK || fdatasync(fd) != 0)
                return 1;
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%.6f\n",
               (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    }
    return 0;
}
