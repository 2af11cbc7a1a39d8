"""migrate: move from another module, with everybody who uses it, as one trial.

command.py       the options
carrying_out.py  what it does, in order
pam_files.py     the PAM files that have the module, and their new text
secrets.py       the secrets that its lines read
without_code.py  people who cannot be moved, and would be let in without a code
code_files.py    new recovery codes, a file a person
"""
