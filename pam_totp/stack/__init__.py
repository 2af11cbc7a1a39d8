"""PAM files as libpam reads them, and what they let happen. Pure but for reading.

pam_lines.py     lines, words and controls
pam_dispatch.py  how libpam walks through a stack
pam_ways.py      every way through a stack, and what is proven on it
pam_stack.py     the stack of a service; judge() -> Judgement
"""
