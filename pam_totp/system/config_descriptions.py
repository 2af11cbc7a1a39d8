"""What each key of pam_totp.conf and each argument of a PAM line means, for the pages about them.

``make docs`` writes these into docs/reference/configuration.md and the man pages. No login loads
this file. A word in backticks is one to type.
"""

from __future__ import annotations

from .config_values import RANGES

# Key: what it may be, and what it means.
KEYS = {
    "store": (
        "absolute path in ASCII, with or without `sqlite:` in front; or"
        " `postgresql://HOST[:PORT],.../DATABASE`",
        "The store: a file of this host, or the PostgreSQL database of a fleet of hosts. Of several"
        " servers, the one that can write is used. No user and no password is allowed here: they"
        " are in `fleet_host`. `postgresql:///DATABASE?socket=/FOLDER` names a socket on this"
        " host.",
    ),
    "sealing_key": (
        "absolute path in ASCII",
        "The key that seals the secrets in the store. In a fleet: those in `local_store`, and what"
        " `offline = cache` keeps.",
    ),
    "local_store": (
        "absolute path in ASCII",
        "Used only where `store` is PostgreSQL. Users in this store are judged by it alone, and the"
        " database is not asked: they can log in while it is away. If there is no such file, nobody"
        " is judged here. If it is there but cannot be used, only users of the fleet who enter a"
        " code can log in.",
    ),
    "fleet_host": (
        "absolute path in ASCII",
        "What this host proves to the database who it is with; written when it joins the fleet.",
    ),
    "fleet_admin": (
        "absolute path in ASCII",
        "What `totpctl` proves to the database who the administrator is with. No login reads it.",
    ),
    "offline": (
        "`deny`, `cache`",
        "What happens to users of the fleet while no server of the database can be reached. `deny`:"
        " they are denied. `cache`: this host judges by codes of the next hours that it keeps of"
        " people who have logged in here with a code within a week, if the policy of the fleet"
        " allows it (`offline_hours`). Beside the local store, in `offline.db`. They are fetched"
        " after logins by pam_totp.so: those by pam_python.so use them, and fetch none.",
    ),
    "issuer": (
        "printable text, at most 128 characters",
        "What an app shows above the code, with the account `USER@HOST` below. Empty: the name of"
        " this host; in a fleet that of the first server in `store`, also in the account. Used at"
        " enrollment only.",
    ),
    "language": (
        "a language, as `de` or `pt_BR`, or `en`",
        "What people at a prompt are spoken to in, if there is a translation. Empty: the locale of"
        " this host decides, as `/etc/locale.conf` or `/etc/default/locale` sets it, if it is in"
        " UTF-8. `en`: English. The log and `totpctl` are in English.",
    ),
    "prompt": (
        "printable text, at most 128 characters",
        "The prompt. Double quotes keep blanks at its ends. Empty: `Verification code: `, in the"
        " language of the host. What is set here is never translated.",
    ),
    "echo": (
        "`yes`, `no`",
        "Whether the answer is shown while it is typed.",
    ),
    "one_prompt": (
        "`yes`, `no`",
        "`yes`: lines with `first_factor=password` ask for password and code in one answer, for"
        " programs that can ask only once, and `totpctl enable` writes such a line for the programs"
        " of this kind that it knows. `no`: such a line asks for nothing, and password and code are"
        " asked for one after the other.",
    ),
    "one_prompt_text": (
        "printable text, at most 128 characters",
        "The prompt for password and code in one answer. What is typed there is never shown. Empty:"
        " `Password and code: `, in the language of the host.",
    ),
    "window": (
        "",
        "Steps that a code may be early or late. A step is the period of the authenticator.",
    ),
    "look_ahead": (
        "",
        "Of tokens with a counter (HOTP): how many codes are accepted, from the next one on. A"
        " button that was pressed more often needs `totpctl resync`.",
    ),
    "attempts": (
        "",
        "Answers that one call may take before the application starts over.",
    ),
    "throttle_after": (
        "",
        "From this many wrong codes in a row on, the user has to wait.",
    ),
    "throttle_base": (
        "",
        "The first wait, in seconds. It doubles with each further wrong code.",
    ),
    "throttle_max": (
        "",
        "The longest wait, in seconds. If it is below `throttle_base`, this is reported, and"
        " `throttle_base` is used for both.",
    ),
    "max_failures": (
        "",
        "This many wrong codes in a row lock the user until `totpctl unlock`. A fifth of them, as"
        " of the slow budget, is kept for known places: others are locked out by 80 of 100.",
    ),
    "recovery_unlocks": (
        "`yes`, `no`",
        "`yes`: a recovery code is good while the user is locked, and ends the lock.",
    ),
    "remember": (
        "minutes or hours, at most a day, as `30m` or `8h`; or `none`",
        "For how long no code is asked for again where one was right: from the same address, in the"
        " same session of a terminal, or in programs under the same login by ssh or at a console."
        " After the password or the key, and never for root. Where nobody could see that the"
        " password changes, every login asks.",
    ),
    "unenrolled": (
        "`deny`, `skip`, `enroll`",
        "What happens to users without an authenticator. `deny`: they see the same prompt, and are"
        " denied as after a wrong code. `skip`: they log in without a code, unless they are"
        " suspended. `enroll`: they enroll in the login, after the right password, where that is"
        " possible, and are denied elsewhere.",
    ),
    "unenrolled_until": (
        "a day, as `2027-01-31`, or `none`",
        "The last day (UTC) on which `unenrolled = skip` lets anybody in. From the next day on it"
        " acts as `deny`. A value that is neither a day nor `none` counts as passed.",
    ),
    "exempt_groups": (
        "group names, with blanks or commas between",
        "Members of these groups are not asked, unless they are suspended, or required by"
        " `totpctl require`. A group that does not exist exempts nobody.",
    ),
    "skip_from": (
        "addresses, networks and `tty`, with blanks or commas between",
        "Enrolled people are not asked where they come from one of these. Networks count in sshd"
        " alone, and never for root. `tty` is a virtual console, `tty1` to `tty63`, in `login`."
        " Suspended, locked, throttled and required people are treated as anywhere else. Refused:"
        " names, loopback, and what is as large as the Internet.",
    ),
    "alternative": (
        "file names of PAM modules, as `pam_u2f.so`, with blanks or commas between",
        "Modules that are a second factor in the place of the code, where they stand after the"
        " password. `totpctl enable` and `doctor` read this, so that they do not call such a line a"
        " bypass; no login does. Refused: modules of the password, and those that let people in"
        " without a factor. Only in this file, not as a PAM argument.",
    ),
    "qr_code": (
        "`yes`, `no`",
        "`no`: an enrollment in a login shows the secret as text alone, for terminals that cannot"
        " show a QR code. totpctl has `--qr` for that.",
    ),
    "quiet": (
        "`yes`, `no`",
        "`yes`: ask, but explain nothing.",
    ),
    "unprivileged": (
        "`yes`, `no`",
        "`yes`: the worker also serves programs that do not run as root, each for the user that it"
        " runs as. The socket must be opened to them, too. Only in this file, not as a PAM"
        " argument.",
    ),
    "self_service": (
        "`yes`, `no`",
        "`yes`: enrolled people look at their own enrollment, and change it, with `totpctl me`."
        " Each change takes a code or a recovery code. Never for root, and not for people of a"
        " fleet's database. Only in this file, not as a PAM argument.",
    ),
}
# Argument, as a name or `name=value`: what it means.
ARGUMENTS = {
    "config=path": (
        "Read this file instead of `/etc/security/pam_totp.conf`. The path is absolute, and the"
        " file must exist: otherwise the login is denied."
    ),
    "debug": "Log each decision once more, at level debug; never a value.",
    "first_factor=key": (
        "Ask for nothing. Succeed if sshd says that it accepted an SSH key, else return"
        " `PAM_AUTH_ERR`. In a service whose name does not begin with `sshd`, always return"
        " `PAM_AUTH_ERR` and log why."
    ),
    "first_factor=password": (
        "Before the line of the password module: with `one_prompt`, ask for password and code in"
        " one answer, hand the password to the next module, and keep the code for the next"
        " pam_totp.so line, which alone decides. Return `PAM_IGNORE`, never `PAM_SUCCESS`."
    ),
    "nullok": (
        "The same as `unenrolled=skip`: users without an authenticator log in without a code."
    ),
}


def values(key: str) -> str:
    """Return what ``key`` may be, in words: for a number, its range."""
    if key in RANGES:
        low, high = RANGES[key]
        return f"{low} to {high}"
    return KEYS[key][0]
