/* Prints the language that the module would speak, for a PAM line with these arguments. */

#include <stdio.h>

#include "../../pam_totp/native/language.h"

int main(int argc, char **argv)
{
    const struct translated *said = translated_for(argc - 1, (const char **)argv + 1);

    printf("%s\n%s\n%s\n", said->language, said->unavailable, said->press_enter);
    return 0;
}
