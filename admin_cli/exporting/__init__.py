"""Write the authenticators of people to a file, for another machine: one file a format.

sealed_file.py  pam_totp's own, sealed with a passphrase: everything, and read again by import
pskc.py         PSKC (RFC 6030), encrypted with a passphrase
"""
