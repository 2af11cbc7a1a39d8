"""PostgreSQL as the store of many hosts: the database itself judges, and no host sees a secret.

migrations.py  makes and updates the schema, from the files in sql/

sql/roles.sql     the cluster's roles
sql/database.sql  what a superuser prepares: schemas, pgcrypto, and what nobody else may do
sql/tables.sql    the tables
sql/sealing.sql   authenticated encryption of secrets and keys
sql/codes.sql     codes, steps and waits, as core/ has them
"""
