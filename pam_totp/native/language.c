/* In which language the module speaks where no worker can be reached: by the rules of
 * pam_totp/system/languages.py, in C, for the few sentences in translated.h.
 *
 * Not by gettext of libc: that goes by the locale of the application, which is C in sshd and the
 * caller's in sudo, and a module must not call setlocale(3). The files below are root's, and what
 * they say chooses among sentences that are compiled in: nothing else is opened. */

#include "language.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "translated.h"

#ifndef PAM_TOTP_CONFIG
#define PAM_TOTP_CONFIG "/etc/security/pam_totp.conf"
#endif
#ifndef PAM_TOTP_LOCALE
#define PAM_TOTP_LOCALE "/etc/locale.conf"
#endif
#ifndef PAM_TOTP_LOCALE_OF_DEBIAN
#define PAM_TOTP_LOCALE_OF_DEBIAN "/etc/default/locale"
#endif

enum { MAX_FILE = 64 * 1024, MAX_NAME = 32 };

static const char blanks[] = " \t\r\v\f";

/* The content of a regular file, the caller's to free; NULL: there is none that can be read. */
static char *content_of(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    char *content = NULL;
    size_t length = 0;
    ssize_t count = -1;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        content = malloc(MAX_FILE + 1);
    while (content && length < MAX_FILE &&
           (count = read(fd, content + length, MAX_FILE - length)) > 0)
        length += (size_t)count;
    close(fd);
    if (count != 0) {
        free(content);
        return NULL;
    }
    content[length] = '\0';
    return content;
}

/* Copy what the last line of content sets name to, without blanks around it; in a file for shells,
 * as locale.conf(5), also without "export" and quotes. False: none does, or it is too long for a
 * language. */
static bool value_of(const char *content, const char *name, bool is_shell, char *value, size_t size)
{
    bool is_set = false;

    *value = '\0';
    for (const char *line = content, *end; line; line = *end ? end + 1 : NULL) {
        const char *from, *to;

        end = strchrnul(line, '\n');
        line += strspn(line, blanks);
        if (is_shell && strncmp(line, "export ", 7) == 0)
            line += 7 + strspn(line + 7, " ");
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        from = line + strlen(name);
        from += strspn(from, blanks);
        if (*from != '=')
            continue;
        from++;
        from += strspn(from, blanks);
        for (to = end; to > from && strchr(blanks, to[-1]); to--)
            ;
        if (is_shell && to - from >= 2 && (*from == '"' || *from == '\'') && to[-1] == *from)
            from++, to--;
        is_set = (size_t)(to - from) < size;
        if (is_set)
            snprintf(value, size, "%.*s", (int)(to - from), from);
    }
    return is_set && *value;
}

static bool is_among_letters(const char *text, size_t length, const char *letters)
{
    return (length == 2 || length == 3) && strspn(text, letters) >= length;
}

/* A locale, as de_AT.UTF-8@euro: lengths are 0 for what is not there. */
struct locale {
    const char *name, *territory, *codeset, *modifier;
    size_t language_length, territory_length, name_length, codeset_length, modifier_length;
};

static struct locale parse(const char *text, size_t length)
{
    struct locale locale = {.name = text};
    const char *end = text + length, *at = memchr(text, '@', length);
    const char *rest = at ? at : end, *dot = memchr(text, '.', (size_t)(rest - text));
    const char *name_end = dot ? dot : rest;
    const char *bar = memchr(text, '_', (size_t)(name_end - text));

    locale.name_length = (size_t)(name_end - text);
    locale.language_length = bar ? (size_t)(bar - text) : locale.name_length;
    locale.territory = bar ? bar + 1 : name_end;
    locale.territory_length = (size_t)(name_end - locale.territory);
    locale.codeset = dot ? dot + 1 : rest;
    locale.codeset_length = (size_t)(rest - locale.codeset);
    locale.modifier = at ? at + 1 : end;
    locale.modifier_length = (size_t)(end - locale.modifier);
    return locale;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && strncmp(text, word, length) == 0;
}

static bool is_utf8(const struct locale *locale)
{
    char plain[8] = "";
    size_t length = 0;

    for (size_t i = 0; i < locale->codeset_length; i++)
        if (locale->codeset[i] != '-') {
            if (length == sizeof plain - 1)
                return false;
            plain[length++] = locale->codeset[i];
        }
    return strcasecmp(plain, "utf8") == 0;
}

static bool is_c(const struct locale *locale)
{
    return is_word(locale->name, locale->name_length, "C") ||
           is_word(locale->name, locale->name_length, "POSIX");
}

static bool is_english(const struct locale *locale)
{
    return is_c(locale) || is_word(locale->name, locale->name_length, "en") ||
           (locale->name_length > 2 && strncmp(locale->name, "en_", 3) == 0);
}

static bool is_named(const struct locale *locale)
{
    static const char small[] = "abcdefghijklmnopqrstuvwxyz";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    return is_among_letters(locale->name, locale->language_length, small) &&
           (locale->territory_length == 0 ||
            is_among_letters(locale->territory, locale->territory_length, all));
}

/* Return the sentences in the language of a locale, the nearest ones; NULL: there are none. */
static const struct translated *find(const struct locale *locale)
{
    const size_t lengths[] = {locale->name_length, locale->language_length};

    if (!is_named(locale) || locale->name_length + locale->modifier_length > MAX_NAME)
        return NULL;
    for (int i = 0; i < 4; i++) {
        char name[2 * MAX_NAME];
        bool has_modifier = i % 2 == 0 && locale->modifier_length > 0;

        snprintf(name, sizeof name, "%.*s%s%.*s", (int)lengths[i / 2], locale->name,
                 has_modifier ? "@" : "", has_modifier ? (int)locale->modifier_length : 0,
                 locale->modifier);
        for (size_t at = 1; at < sizeof translated / sizeof *translated; at++)
            if (strcmp(name, translated[at].language) == 0)
                return &translated[at];
    }
    return NULL;
}

static const struct translated *by_setting(const char *value)
{
    struct locale locale = parse(value, strlen(value));
    const struct translated *found = is_english(&locale) ? NULL : find(&locale);

    return found ? found : &translated[0];
}

/* Whether pam_totp.conf may say so: else its default counts, which is the locale. */
static bool is_setting(const char *value)
{
    struct locale locale = parse(value, strlen(value));

    return (is_english(&locale) || is_named(&locale)) &&
           (locale.codeset_length == 0 || is_utf8(&locale));
}

/* Return the sentences for what a file says of the locale; NULL: it says nothing. */
static const struct translated *by_locale(const char *path)
{
    static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    char wanted[256], languages[256];
    char *content = content_of(path);
    const struct translated *found = NULL;
    struct locale locale;

    if (!content)
        return NULL;
    for (size_t i = 0; i < 3 && !found; i++)
        if (value_of(content, variables[i], true, wanted, sizeof wanted))
            found = &translated[0];
    if (found)
        locale = parse(wanted, strlen(wanted));
    if (!found || locale.name_length == 0 || is_c(&locale) || !is_utf8(&locale)) {
        free(content);
        return found;
    }
    if (!value_of(content, "LANGUAGE", true, languages, sizeof languages))
        strcpy(languages, wanted);
    free(content);
    for (char *state, *word = strtok_r(languages, ":", &state); word;
         word = strtok_r(NULL, ":", &state)) {
        const struct translated *one;

        locale = parse(word, strlen(word));
        if (is_english(&locale))
            return found;
        one = find(&locale);
        if (one)
            return one;
    }
    return found;
}

const struct translated *translated_for(int argc, const char **argv)
{
    const char *config = PAM_TOTP_CONFIG, *argument = NULL;
    const struct translated *found;
    char value[64];
    char *content;
    bool is_set = false;

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "config=/", 8) == 0)
            config = argv[i] + 7;
        if (strncmp(argv[i], "language=", 9) == 0)
            argument = argv[i] + 9;
    }
    if (argument) {
        is_set = snprintf(value, sizeof value, "%s", argument) < (int)sizeof value;
    } else if ((content = content_of(config))) {
        is_set = value_of(content, "language", false, value, sizeof value);
        free(content);
    }
    if (is_set && *value && is_setting(value))
        return by_setting(value);
    if (!(found = by_locale(PAM_TOTP_LOCALE)))
        found = by_locale(PAM_TOTP_LOCALE_OF_DEBIAN);
    return found ? found : &translated[0];
}
