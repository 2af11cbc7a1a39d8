"""totpctl, the command that looks after the store.

Folders are layers: a file imports from its own folder and from those above it in this list.

    errors.py    what a command could not do, what helps, and the exit code
    prose.py     how a sentence looks on a terminal: colours, and where it is broken
    output.py    every rule of what is printed, asked and answered
    verbs.py     groups of commands, each loaded when it is used
    host/        reads and writes the machine: PAM files, sshd, accounts, sudoers, units
    libraries.py what one file format needs, and which package has it
    exporting/   the authenticators of people, written to a file
    importing/   tokens of other programs, read from their files
    session.py   configuration, key and store of one run
    recorded.py  everybody who may log in on this machine, as its stores know them
    policy.py    what holds at a login, in words
    selftest.py  the installed chain, tried through libpam
    access/      who can get in without totpctl's help
    enable/      enable and disable: plan, trial, undo
    doctor/      every way in which two-factor logins are broken or bypassed, a check a file
    completion/  what a shell offers at Tab
    commands/    the command line, a file a noun
    running.py   run a command: what it raises becomes words and an exit code
    main.py      the group of commands and its global options
"""
