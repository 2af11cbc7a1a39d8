"""A second factor for Linux logins: TOTP (RFC 6238) after the system password.

What runs during a login, one concept a file:

    hook.py           what a host runs: pam_sm_authenticate, pam_sm_setcred
    embedding.py      safe imports inside somebody else's program
    login.py          one login as a checklist; the only file that knows PAM codes
    identity.py       who logs in, by the host and by the directory
    conversation.py   prompts and messages, and what can come back
    admission.py      who is asked, skipped, enrolled or denied       [pure]
    decision.py       the critical section: read, judge, write, commit
    config.py         pam_totp.conf and PAM arguments -> Config
    config_values.py  what each key of it may say                     [pure]
    hashes.py         HMAC and friends, without OpenSSL
    dates.py          days of the calendar, without datetime          [pure]
    records.py        NamedTuple, without the typing module
    otp.py            HOTP and TOTP (RFC 4226, RFC 6238)              [pure]
    recovery.py       recovery codes: format, normalise, hash, match  [pure]
    clock_skew.py     which wrong clock a wrong code belongs to     [pure]
    verifier.py       verify() -> Verdict; throttling                 [pure]
    sealing.py        authenticated encryption of secrets at rest
    uninterrupted.py  a transaction that its caller cannot stop
    core_files.py     no core file while a secret is in memory
    trusted_files.py  which files may be believed, and why not
    audit.py          one line an event, to LOG_AUTHPRIV
    messages.py       what a person reads at the prompt
    errors.py         the exception tree
    disks.py          why nothing can be written, for hints
    reinstalling.py   how this machine was installed, for hints
    store/            users, authenticators and recovery codes on disk

What is loaded beyond that where somebody enrols while they log in:

    first_login.py    what is shown and asked, and the one moment of keeping
    issuing.py        new secrets and recovery codes; totpctl's too
    picture.py        the QR code, drawn by a program of its own

What totpctl makes and replaces key and store with:

    lock_file.py      one at a time, kept out by nobody else

What a PAM file lets happen, for totpctl and for enrolment at login:

    pam_lines.py      lines, words and controls, as libpam reads them [pure]
    pam_dispatch.py   how libpam walks through a stack                [pure]
    pam_ways.py       every way through, and what is proven on it     [pure]
    pam_stack.py      the stack of a service; judge() -> Judgement

What brings a login to the hook from another process, for pam_totp.so:

    native/           pam_totp.so, in C: relays a login to a worker
    wire.py           the packets between the two                     [pure]
    worker.py         serves one login, if who asks may ask
    service.py        serves many at once, each on a thread
    listening.py      the socket that it listens on
    prompts.py        how many logins of one user may wait
    control_group.py  out of the reach of a caller who freezes their programs
    sandbox.py        whether the unit lets the store be written, and shows key and name services
    handle.py         pam_python's pamh, over a socket

What few logins need: an answer that is not ASCII; rules for groups:

    pasted.py         dashes, spaces and digits of Unicode -> ASCII   [pure]
    membership.py     which groups an account is in, within a bounded time

Nothing here imports click, admin_cli, segno or pyotp: every import of this
package runs as root, in a worker or inside somebody's sshd.
"""

__version__ = "0.1.0"
