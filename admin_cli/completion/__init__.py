"""What a shell offers at Tab. packaging/completions/ asks, by ``_TOTPCTL_COMPLETE``.

A completion prints no error, asks nothing, changes nothing and logs nothing; users who may not
read the store learn nothing that is in it. What it offers is data, and no shell executes it.

    answering.py   one answer to one shell; which words it offers is click's to say
    candidates.py  callbacks of click's parameters: which names go where
    names.py       the names themselves: people, services, groups
    bash_line.py   words and quotes of a line of bash, which bash leaves to whoever completes it
"""
