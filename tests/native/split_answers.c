/* Splits answers as the module does, for tests: reads pairs of strings, each ended by a zero byte,
 * and writes a line for each pair.
 *
 *     6,8\0ANSWER\0     ->     LENGTH-OF-PASSWORD BEGINNING-OF-CODE LENGTH-OF-CODE, or "none"
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../pam_totp/native/split.h"

int main(void)
{
    char *lengths = NULL, *answer = NULL;
    size_t room = 0, more_room = 0;

    while (getdelim(&lengths, &room, '\0', stdin) > 0) {
        unsigned char digits[8];
        size_t count = 0;
        struct halves halves;
        ssize_t length = getdelim(&answer, &more_room, '\0', stdin);
        char *exactly; /* so that a byte outside is noticed */

        if (length < 1)
            return 2;
        for (char *word = strtok(lengths, ","); word; word = strtok(NULL, ","))
            digits[count++] = (unsigned char)atoi(word);
        exactly = malloc((size_t)length);
        memcpy(exactly, answer, (size_t)length);
        if (split_answer(exactly, digits, count, &halves))
            printf("%zu %zu %zu\n", halves.password_length, (size_t)(halves.code - exactly),
                   halves.code_length);
        else
            puts("none");
        free(exactly);
    }
    free(lengths);
    free(answer);
    return 0;
}
