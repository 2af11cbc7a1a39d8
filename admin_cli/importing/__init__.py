"""Read the tokens of other programs: one file a format. Nothing here writes to the store.

A file may be hostile: its size, its depth and the number of its values have limits, nothing in it
is shown that may be a secret, and no program sees it but zbarimg.

tokens.py       what every format is read into; what cannot be read or used
texts.py        bytes as text; secrets, numbers, dates and names in it
sources.py      one file, standard input, a folder, all homes
trust.py        whose a file may be, and what others may do with it
formats.py      the names of the formats
recognition.py  their readers, and which one a file is in
supported.py    which tokens this store can hold
naming.py       whose a token is

sealed_export.py         what totpctl export writes
google_authenticator.py  ~/.google_authenticator
users_oath.py            users.oath of pam_oath, and the file of mod_authn_otp
otpauth.py               lists of otpauth:// addresses
otpauth_migration.py     otpauth-migration:// addresses, of Google Authenticator's export
qr_pictures.py           pictures of QR codes that hold either; bare_pictures.py: nothing but pixels
pskc.py                  PSKC (RFC 6030); xml_encryption.py: its keys and MACs
safenet.py               SafeNet's XML; xml_documents.py: any XML
entra_csv.py             CSV of Microsoft Entra ID
privacyidea_csv.py       CSV of privacyIDEA and LinOTP; csv_rows.py: any CSV
freeipa.py               LDIF of FreeIPA
aegis.py  andotp.py  bitwarden.py  freeotp_plus.py  two_fas.py
                         plain exports of apps; json_documents.py: any JSON
bitwarden_csv.py         CSV of Bitwarden
foreign_files.py         what is packed, encrypted or no text, and what helps
"""
