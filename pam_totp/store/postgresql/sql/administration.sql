-- Administrators' functions: what needs the data key, which the administrator's key opens.

CREATE FUNCTION totp.open_data_key(p_admin_key bytea) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_key bytea := (SELECT totp.unseal(m.value, p_admin_key, totp.field('data key') || totp.field(''))
        FROM totp.meta m WHERE m.key = 'data_key');
BEGIN
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'this is not the administrators'' key' USING ERRCODE = 'TP001';
    END IF;
    RETURN v_key;
END $$;

-- Make the keys of a new fleet: totp_owner alone may, once.
CREATE FUNCTION totp.make_keys(p_admin_key bytea) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_key bytea := totp_crypto.gen_random_bytes(32);
BEGIN
    IF octet_length(p_admin_key) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'an administrators'' key has 32 bytes' USING ERRCODE = '22023';
    END IF;
    INSERT INTO totp.meta (key, value) VALUES
        ('data_key', totp.seal(v_key, p_admin_key, totp.field('data key') || totp.field(''))),
        ('decoy_key', totp.seal(totp_crypto.gen_random_bytes(32), v_key, totp.field('decoy key'))),
        ('key_id', totp.key_id(v_key));
END $$;

CREATE FUNCTION totp.seal_secret(
    p_admin_key bytea, p_secret bytea, p_user text, p_id text, p_algorithm text, p_digits int, p_period int,
    p_kind text)
RETURNS bytea LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    -- Until the caller's commit: what is sealed now must not arrive after the key was rotated.
    LOCK TABLE totp.authenticators IN ROW EXCLUSIVE MODE;
    RETURN totp.seal(p_secret, totp.open_data_key(p_admin_key),
        totp.secret_binding(p_user, p_id, p_algorithm, p_digits, p_period, p_kind));
END $$;

CREATE FUNCTION totp.open_secret(
    p_admin_key bytea, p_sealed bytea, p_user text, p_id text, p_algorithm text, p_digits int, p_period int,
    p_kind text)
RETURNS bytea LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN totp.unseal(p_sealed, totp.open_data_key(p_admin_key),
        totp.secret_binding(p_user, p_id, p_algorithm, p_digits, p_period, p_kind));
END $$;

-- Let a host join with a one-time key, within p_valid_seconds. A host of that name is replaced. TP006: two
-- do so at the same time, of which one token would be of no use.
CREATE FUNCTION totp.add_host(
    p_admin_key bytea, p_host text, p_one_time_key bytea, p_groups text[], p_valid_seconds int)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_key bytea;
BEGIN
    IF octet_length(p_one_time_key) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'a one-time key has 32 bytes' USING ERRCODE = '22023';
    END IF;
    LOCK TABLE totp.hosts IN ROW EXCLUSIVE MODE;
    v_key := totp.open_data_key(p_admin_key);
    DELETE FROM totp.hosts h WHERE h.name = p_host;
    INSERT INTO totp.hosts (name, groups, wrapped_key, sealed_key, join_until, added_at)
    VALUES (p_host, p_groups,
        totp.seal(v_key, p_one_time_key, totp.field('data key') || totp.field(p_host)),
        totp.seal(p_one_time_key, v_key, totp.field('host key') || totp.field(p_host)),
        totp.unix_time() + p_valid_seconds, totp.unix_time());
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'somebody else has added this host at the same time' USING ERRCODE = 'TP006';
END $$;

-- From the next question on it is told nothing. False: there is no such host.
CREATE FUNCTION totp.remove_host(p_host text) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    DELETE FROM totp.hosts h WHERE h.name = p_host;
    RETURN FOUND;
END $$;

-- Seal all secrets by p_new_data_key, and wrap that for administrators and hosts; logins wait meanwhile.
-- Return how many secrets there are. TP003, and nothing has changed: something does not open.
CREATE FUNCTION totp.rotate(p_admin_key bytea, p_new_data_key bytea) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_old bytea;
    v_count int;
    v_problem text;
BEGIN
    IF octet_length(p_new_data_key) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'a data key has 32 bytes' USING ERRCODE = '22023';
    END IF;
    LOCK TABLE totp.authenticators, totp.hosts, totp.meta IN SHARE ROW EXCLUSIVE MODE;
    v_old := totp.open_data_key(p_admin_key);
    SELECT x.whose INTO v_problem FROM (
        SELECT 'the secret of ' || a.user_name AS whose FROM totp.authenticators a
        WHERE totp.unseal(a.sealed_secret, v_old, totp.secret_binding(a.user_name, a.id, a.algorithm, a.digits, a.period, a.kind)) IS NULL
        UNION ALL
        SELECT 'the key of ' || h.name FROM totp.hosts h
        WHERE totp.unseal(h.sealed_key, v_old, totp.field('host key') || totp.field(h.name)) IS NULL
    ) AS x LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% does not open', v_problem USING ERRCODE = 'TP003';
    END IF;
    UPDATE totp.authenticators a SET sealed_secret = totp.seal(
        totp.unseal(a.sealed_secret, v_old, totp.secret_binding(a.user_name, a.id, a.algorithm, a.digits, a.period, a.kind)),
        p_new_data_key, totp.secret_binding(a.user_name, a.id, a.algorithm, a.digits, a.period, a.kind));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    UPDATE totp.hosts h SET
        wrapped_key = totp.seal(p_new_data_key,
            totp.unseal(h.sealed_key, v_old, totp.field('host key') || totp.field(h.name)),
            totp.field('data key') || totp.field(h.name)),
        sealed_key = totp.seal(
            totp.unseal(h.sealed_key, v_old, totp.field('host key') || totp.field(h.name)),
            p_new_data_key, totp.field('host key') || totp.field(h.name));
    UPDATE totp.meta m SET value = CASE m.key
        WHEN 'data_key' THEN totp.seal(p_new_data_key, p_admin_key, totp.field('data key') || totp.field(''))
        WHEN 'decoy_key' THEN totp.seal(totp.decoy_key(v_old), p_new_data_key, totp.field('decoy key'))
        ELSE totp.key_id(p_new_data_key) END
    WHERE m.key IN ('data_key', 'decoy_key', 'key_id');
    RETURN v_count;
END $$;

-- Forget events that are older than p_days, of which 30 are always kept; return how many there were.
CREATE FUNCTION totp.prune(p_days int) RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_count bigint;
BEGIN
    DELETE FROM totp.events e WHERE e.at < now() - make_interval(days => greatest(p_days, 30));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- How many migrations the database has seen: for everybody who asks anything.
CREATE FUNCTION totp.schema_version() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN (SELECT ('x' || encode(m.value, 'hex'))::bit(32)::int FROM totp.meta m WHERE m.key = 'schema_version');
END $$;

-- What administrators and the help desk change in people and rules leaves an event, whatever they change it
-- with. The role is proven; what follows it, where and by whom the program was run, is as that says. Hosts,
-- and functions that need keys, have the rights of totp_owner and leave events of their own.
CREATE FUNCTION totp.note_change() RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    v_after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    v_row jsonb := v_before || v_after;
    v_what text := CASE TG_TABLE_NAME
        WHEN 'users' THEN 'user' WHEN 'authenticators' THEN 'authenticator' ELSE 'rule' END;
    v_events text[];
BEGIN
    IF TG_OP <> 'UPDATE' OR v_what <> 'user' THEN
        v_events := ARRAY[v_what || CASE TG_OP
            WHEN 'INSERT' THEN '_added' WHEN 'DELETE' THEN '_removed' ELSE '_changed' END];
    ELSE
        v_events := array_remove(ARRAY[
            CASE WHEN OLD.status <> NEW.status THEN 'status_' || NEW.status END,
            CASE WHEN OLD.exempt_until <> NEW.exempt_until THEN 'exemption_changed' END,
            CASE WHEN OLD.groups <> NEW.groups THEN 'groups_changed' END,
            CASE WHEN OLD.uid IS DISTINCT FROM NEW.uid THEN 'account_changed' END,
            CASE WHEN (OLD.failures, OLD.throttled_until, OLD.guesses_until)
                <> (NEW.failures, NEW.throttled_until, NEW.guesses_until) THEN 'failures_changed' END,
            CASE WHEN (OLD.known_places, OLD.remembered) <> (NEW.known_places, NEW.remembered) THEN 'places_changed' END
        ], NULL);
    END IF;
    INSERT INTO totp.events (host, user_name, event, service, rhost, authenticator)
    SELECT '', left(coalesce(v_row ->> 'user_name', v_row ->> 'name'), 255), x.event, 'database',
        totp.stated_administrator(), coalesce(v_row ->> 'label', '')
    FROM unnest(v_events) AS x (event);
    RETURN NULL;
END $$;

-- Of several recovery codes at a time, one event.
CREATE FUNCTION totp.note_recovery_codes() RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    INSERT INTO totp.events (host, user_name, event, service, rhost)
    SELECT DISTINCT '', left(c.user_name, 255),
        'recovery_codes_' || CASE TG_OP WHEN 'INSERT' THEN 'added' WHEN 'DELETE' THEN 'removed' ELSE 'changed' END,
        'database', totp.stated_administrator()
    FROM changed c;
    RETURN NULL;
END $$;

CREATE FUNCTION totp.stated_administrator() RETURNS text LANGUAGE sql STABLE
RETURN left(session_user || '@' || coalesce(current_setting('totp.administrator', true), ''), 255);

CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON totp.users FOR EACH ROW
    WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_change();
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON totp.authenticators FOR EACH ROW
    WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_change();
CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE ON totp.group_rules FOR EACH ROW
    WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_change();
CREATE TRIGGER note_added AFTER INSERT ON totp.recovery_codes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_recovery_codes();
CREATE TRIGGER note_removed AFTER DELETE ON totp.recovery_codes REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_recovery_codes();
CREATE TRIGGER note_changed AFTER UPDATE ON totp.recovery_codes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT WHEN (current_user <> 'totp_owner') EXECUTE FUNCTION totp.note_recovery_codes();
