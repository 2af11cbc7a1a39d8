"""What a shell offers at Tab. packaging/completions/ asks, by ``_TOTPCTL_COMPLETE``.

click decides which words fit where (ShellComplete.get_completions). The rest of it was tried, with
its own scripts for the three shells (8.1.3) and the tests in tests/packaging. What it cannot do:

- quote: bash inserts a name as it is, and Enter then runs the ``$(...)`` in it, as root.
- read the line: ``--option=value`` and a quote that is open at Tab are lost in bash and zsh; a name
  of two words, given before, is two arguments.
- be silent: what a command raises is a traceback at the prompt.
- leave out names that read as options, and those with control characters.

A completion prints no error, asks nothing, changes nothing and logs nothing; users who may not
read the store learn nothing that is in it. What it offers is data, and no shell executes it.

    answering.py   one answer to one shell; which words it offers is click's to say
    candidates.py  callbacks of click's parameters: which names go where
    names.py       the names themselves: people, services, groups
    bash_line.py   words and quotes of a line of bash, which bash leaves to us
"""
