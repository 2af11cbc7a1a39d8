"""What a shell offers at Tab. packaging/completions/ asks, by ``_TOTPCTL_COMPLETE``.

click decides which words fit where (ShellComplete.get_completions). Its own scripts and what it
prints for them are not used. Tried with click 8.1.3 against tests/packaging/test_completions.py:

- bash: a name is inserted without quotes. Enter then runs the ``$(...)`` in it, as root.
- bash: ``--option=value``, quotes that are open at Tab, and ``:`` and ``@`` in a name break words.
- zsh: a description shares the line with its word; names with blanks or quotes are not offered.
- all: a line that click cannot split, or a command that fails, prints a traceback at the prompt.
- all: names that read as options, and names with control characters, are offered.

A completion prints no error, asks nothing, changes nothing and logs nothing; users who may not
read the store learn nothing that is in it. What it offers is data, and no shell executes it.

    answering.py   one answer to one shell; which words it offers is click's to say
    candidates.py  callbacks of click's parameters: which names go where
    names.py       the names themselves: people, services, groups
    bash_line.py   words and quotes of a line of bash, which bash leaves to whoever completes it
"""
