"""export: the authenticators of people, for another machine or another program.

command.py       the options
carrying_out.py  what it does, in order
"""
