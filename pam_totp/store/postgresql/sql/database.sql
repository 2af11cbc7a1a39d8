-- What a superuser prepares in the database, which is for this alone.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of the database is not UTF8';
    END IF;
    EXECUTE pg_catalog.format(
        'REVOKE ALL ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());
    EXECUTE pg_catalog.format(
        'GRANT CONNECT ON DATABASE %I TO totp_owner, totp_admin, totp_helpdesk, totp_auditor, totp_host',
        pg_catalog.current_database());
    -- Where slow statements are logged, so are codes and keys, which they are given.
    EXECUTE pg_catalog.format(
        'ALTER DATABASE %I SET log_parameter_max_length = 0', pg_catalog.current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS totp AUTHORIZATION totp_owner;
CREATE SCHEMA IF NOT EXISTS totp_crypto AUTHORIZATION totp_owner;
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA totp_crypto;
ALTER DEFAULT PRIVILEGES FOR ROLE totp_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Without a language there is no DO: totp.judge relies on that nobody else can begin a transaction
-- from inside a statement.
REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO totp_owner;

-- One login serves all hosts, so that any of them could end the sessions of the others, or hold a lock
-- that the functions take; and large objects would be a place to write to for a role that owns no table.
REVOKE EXECUTE ON FUNCTION
    pg_catalog.pg_cancel_backend(int), pg_catalog.pg_terminate_backend(int, bigint),
    pg_catalog.lo_creat(int), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)
    FROM PUBLIC;
-- And whoever cancels a question while it is judged must not see how far it came: not by the locks that it
-- held, the rows that it counted, or the log that it wrote.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT f.oid::regprocedure FROM pg_catalog.pg_proc f
        WHERE f.pronamespace = 'pg_catalog'::regnamespace
            AND f.proname ~ ('^pg_((try_)?advisory_|stat_get_|lock_status|current_wal_|logical_emit_message'
                '|get_replication_slots|control_|.*_size$)')
            AND has_function_privilege('public', f.oid, 'EXECUTE')
    LOOP
        EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO pg_monitor', v_function);
    END LOOP;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint) TO totp_owner;
END $$;
