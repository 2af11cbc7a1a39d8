"""The machine underneath a login: configuration, log, files, errors.

errors.py         the exception tree
config.py         pam_totp.conf and PAM arguments -> Config
pam_modules.py    PAM modules that are no second factor
config_values.py  what each key of it may hold
languages.py      which languages this host asks for, by its locale or its configuration
catalogs.py       the translations, where another language than English is spoken
postgresql_url.py  where the database of a fleet is
config_descriptions.py  what each key means, for the pages; no login loads it
processes.py      the session and the ancestors of this process
password_change.py  what changes whenever a password does
audit.py          one line an event, to LOG_AUTHPRIV
trusted_files.py  which files may be trusted, and why not
fleet_file.py     the identity of a host, or of an administrator, in the fleet
marks.py          whether files are still those that were read
atomic_files.py   a file is there whole, and on the disk, or not at all
lock_file.py      one process at a time makes or replaces key and store
uninterrupted.py  a transaction that its caller cannot stop
core_files.py     no core file while a secret is in memory
embedding.py      safe imports inside another program's interpreter
issuing.py        new secrets and recovery codes, for administrators and at a login
disks.py          why nothing can be written, for hints
reinstalling.py   how this machine was installed, for hints
"""
