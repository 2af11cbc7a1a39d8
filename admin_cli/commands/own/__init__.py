"""totpctl me: people look at their own enrollment, and change it, without root.

group.py    the group of commands, and the list of them
changes.py  the commands that change something
state.py    what is shown of one's own state
talking.py  the conversation with the process of root's that does it
"""
