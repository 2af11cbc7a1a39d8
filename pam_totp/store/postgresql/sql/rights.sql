-- Rights. It comes last, and closes what was made before.

REVOKE ALL ON ALL TABLES IN SCHEMA totp FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA totp FROM PUBLIC;
GRANT USAGE ON SCHEMA totp TO totp_host, totp_admin, totp_helpdesk, totp_auditor;

-- Functions with the rights of their owner take nothing from the session of their caller: no name from
-- its schemas, and no setting that would print a value, or read a literal otherwise.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT f.oid::regprocedure FROM pg_catalog.pg_proc f
        WHERE f.pronamespace = 'totp'::regnamespace AND f.prosecdef
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = pg_catalog, pg_temp', v_function);
        EXECUTE format('ALTER ROUTINE %s SET client_min_messages = error', v_function);
        EXECUTE format('ALTER ROUTINE %s SET debug_print_parse = off', v_function);
        EXECUTE format('ALTER ROUTINE %s SET debug_print_rewritten = off', v_function);
        EXECUTE format('ALTER ROUTINE %s SET debug_print_plan = off', v_function);
        EXECUTE format('ALTER ROUTINE %s SET standard_conforming_strings = on', v_function);
        EXECUTE format('ALTER ROUTINE %s SET transform_null_equals = off', v_function);
        EXECUTE format('ALTER ROUTINE %s SET plpgsql.extra_errors = none', v_function);
        EXECUTE format('ALTER ROUTINE %s SET plpgsql.extra_warnings = none', v_function);
        EXECUTE format('ALTER ROUTINE %s SET plpgsql.print_strict_params = off', v_function);
        IF current_setting('transaction_timeout', true) IS NOT NULL THEN  -- from PostgreSQL 17 on
            EXECUTE format('ALTER ROUTINE %s SET transaction_timeout = 0', v_function);
        END IF;
    END LOOP;
END $$;

GRANT EXECUTE ON ROUTINE
    totp.judge(text, bytea, bytea, text, text, bytea, bytea, boolean, int, text, text, text, jsonb),
    totp.look_beyond(text, bytea, bytea, text, text, boolean, int, totp.verdict),
    totp.look_up(text, bytea, text, text),
    totp.keep_first(text, bytea, bytea, text, jsonb, text, text, int, int, bytea, bigint, bytea, bytea[]),
    totp.take_told(text, bytea, text, int),
    totp.take_token(text, bytea, bytea),
    totp.give_codes(text, bytea, text[]),
    totp.take_report(text, bytea, jsonb)
    TO totp_host;
GRANT EXECUTE ON ROUTINE
    totp.verify(text, bytea, bytea, text, text, bytea, bytea, boolean, int, text, text, text, jsonb),
    totp.admission(text, bytea, text, text),
    totp.enroll_first(text, bytea, bytea, text, jsonb, text, text, int, int, bytea, bigint, bytea, bytea[]),
    totp.have_told(text, bytea, text, int),
    totp.join(text, bytea, bytea),
    totp.codes_ahead(text, bytea, text[]),
    totp.merge_offline(text, bytea, jsonb)
    TO totp_host;

-- Somebody else may hold a lock for long, by hand or in bad faith. Hosts must hear so before they give up
-- waiting (client.py): a database that is silent is one that they go offline for.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT f.oid::regprocedure FROM pg_catalog.pg_proc f
        WHERE f.pronamespace = 'totp'::regnamespace AND f.prosecdef AND has_function_privilege('totp_host', f.oid, 'EXECUTE')
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET lock_timeout = 1500', v_function);
    END LOOP;
END $$;

GRANT EXECUTE ON FUNCTION
    totp.seal_secret(bytea, bytea, text, text, text, int, int, text),
    totp.open_secret(bytea, bytea, text, text, text, int, int, text),
    totp.add_host(bytea, text, bytea, text[], int), totp.remove_host(text),
    totp.rotate(bytea, bytea), totp.prune(int)
    TO totp_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON totp.users, totp.authenticators, totp.recovery_codes, totp.group_rules TO totp_admin;
GRANT SELECT, UPDATE ON totp.policy, totp.decoys TO totp_admin;
GRANT SELECT (name, groups, join_until, joined_at, merged_seq, added_at, last_seen_at), UPDATE (groups) ON totp.hosts TO totp_admin;

GRANT SELECT ON totp.users, totp.group_rules, totp.policy TO totp_helpdesk;
GRANT SELECT (id, user_name, label, algorithm, digits, period, drift, last_accepted_step, created_at, last_used_at,
    clock_offset, clock_sightings, kind, serial, learned), UPDATE (last_accepted_step) ON totp.authenticators TO totp_helpdesk;
GRANT SELECT ON totp.recovery_codes TO totp_helpdesk;
GRANT UPDATE ON totp.users TO totp_helpdesk;

GRANT SELECT ON totp.events TO totp_admin, totp_auditor;
GRANT INSERT (host, user_name, event, service, rhost) ON totp.events TO totp_admin;
GRANT SELECT ON totp.kits TO totp_admin;

GRANT EXECUTE ON FUNCTION totp.schema_version(), totp.unix_time()
    TO totp_host, totp_admin, totp_helpdesk, totp_auditor;
GRANT EXECUTE ON FUNCTION
    totp.base_step(totp.authenticators, bigint), totp.followed(totp.authenticators),
    totp.current_step(totp.authenticators, bigint), totp.latest_step(totp.authenticators, bigint, int)
    TO totp_admin, totp_helpdesk;

-- The help desk unlocks, suspends and resumes, and forgets places: UserRecord.unlocked(), suspended(), resumed(),
-- without_places(). Whatever would let somebody in is not among these.
CREATE FUNCTION totp.restrict_helpdesk() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_allowed totp.users := OLD;
BEGIN
    v_allowed.failures := least(OLD.failures, greatest(NEW.failures, 0));
    v_allowed.throttled_until := least(OLD.throttled_until, greatest(NEW.throttled_until, 0));
    v_allowed.guesses_until := least(OLD.guesses_until, greatest(NEW.guesses_until, 0));
    v_allowed.updated_at := NEW.updated_at;
    IF cardinality(NEW.known_places) <= cardinality(OLD.known_places) AND NOT EXISTS (
        SELECT FROM unnest(NEW.known_places) n WHERE NOT EXISTS (
            SELECT FROM unnest(OLD.known_places) o WHERE (n.name, n.used_at) = (o.name, o.used_at)
                AND n.failures BETWEEN 0 AND o.failures AND n.throttled_until BETWEEN 0 AND o.throttled_until
                AND n.guesses_until BETWEEN 0 AND o.guesses_until))
    THEN
        v_allowed.known_places := NEW.known_places;
    END IF;
    IF cardinality(NEW.remembered) <= cardinality(OLD.remembered) AND NEW.remembered <@ OLD.remembered THEN
        v_allowed.remembered := NEW.remembered;
    END IF;
    IF NEW.status = 'suspended' OR OLD.status = 'suspended' AND NEW.status = (
        CASE WHEN EXISTS (SELECT FROM totp.authenticators a WHERE a.user_name = OLD.name)
        THEN 'active' ELSE 'must_enroll' END)
    THEN
        v_allowed.status := NEW.status;
        v_allowed.exempt_until := 0;
    END IF;
    IF NEW IS DISTINCT FROM v_allowed THEN
        RAISE EXCEPTION 'the help desk may unlock, suspend, resume and forget places' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER restrict_helpdesk BEFORE UPDATE ON totp.users FOR EACH ROW
    WHEN (current_user <> 'totp_owner' AND NOT pg_has_role(current_user, 'totp_admin', 'USAGE'))
    EXECUTE FUNCTION totp.restrict_helpdesk();

-- UserRecord.unlocked() ends a last accepted step at the window; no code that was shown is good again.
CREATE FUNCTION totp.restrict_helpdesk_steps() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NEW.last_accepted_step < OLD.last_accepted_step AND (OLD.kind = 'hotp' OR NEW.last_accepted_step <
        totp.latest_step(OLD, totp.unix_time(), (SELECT p.code_window FROM totp.policy p))) THEN
        RAISE EXCEPTION 'the help desk may not make a used code good again' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER restrict_helpdesk_steps BEFORE UPDATE ON totp.authenticators FOR EACH ROW
    WHEN (current_user <> 'totp_owner' AND NOT pg_has_role(current_user, 'totp_admin', 'USAGE'))
    EXECUTE FUNCTION totp.restrict_helpdesk_steps();
