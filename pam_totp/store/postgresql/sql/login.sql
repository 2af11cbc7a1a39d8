-- The other questions of a login, and how a host joins. Procedures, as what hosts ask has keys, codes and
-- secrets for arguments: a CALL has no plan, which debug_print_plan would print with their values.

-- Of a known place, no more than its counts: a host is not told from where else somebody logs in.
CREATE FUNCTION totp.told_place(p_user text, p_groups text[], p_place text, p_now bigint) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN found.number IS NOT NULL THEN to_jsonb(found.known_places[found.number]) - 'name' END FROM (
        SELECT u.known_places, totp.place_number(u.known_places, p_place, p_now) AS number FROM (SELECT 1) AS always
        LEFT JOIN totp.users u ON u.name = p_user AND u.groups && p_groups) AS found;
END;

CREATE FUNCTION totp.look_up(p_host text, p_host_key bytea, p_user text, p_place text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_now bigint := totp.unix_time();
    v_key bytea;
    v_groups text[];
    v_decoy_key bytea;
    v_decoy jsonb;
    v_policy totp.policy;
BEGIN
    SELECT k.o_key, k.o_groups INTO v_key, v_groups FROM totp.data_key(p_host, p_host_key) k;
    v_decoy_key := totp.decoy_key(v_key);
    SELECT jsonb_build_object(
        'failures', d.failures, 'throttled_until', d.throttled_until, 'guesses_until', d.guesses_until,
        'recovery_salt', encode(substring(totp.decoy('salt', p_user, v_decoy_key) FOR 16), 'hex'))
    INTO v_decoy FROM totp.decoys d WHERE d.bucket = totp.decoy_bucket(totp.decoy('bucket', p_user, v_decoy_key));
    SELECT * INTO v_policy FROM totp.policy;
    -- Once an hour, by one of those who ask at the same time.
    IF EXISTS (SELECT FROM totp.hosts h WHERE h.name = p_host AND coalesce(h.last_seen_at, 0) < v_now - 3600) THEN
        UPDATE totp.hosts h SET last_seen_at = v_now WHERE h.name = (
            SELECT x.name FROM totp.hosts x WHERE x.name = p_host FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN jsonb_build_object(
        'at', v_now,
        'record', totp.told(p_user, v_groups),
        'place', totp.told_place(p_user, v_groups, totp.place_name(p_place, p_host), v_now),
        'remembered', totp.told_remembered(p_user, v_groups, p_host),
        'decoy', v_decoy,
        'rules', coalesce((SELECT jsonb_agg(jsonb_build_array(g.name, g.rule, g.until) ORDER BY g.name)
            FROM totp.group_rules g), '[]'),
        'policy', to_jsonb(v_policy) - '{only_row,require_standby,offline_hours,first_enrollment}'::text[],
        'offline_hours', v_policy.offline_hours,
        'first_enrollment', v_policy.first_enrollment);
END $$;

CREATE PROCEDURE totp.admission(p_host text, p_host_key bytea, p_user text, p_place text, OUT told jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;  -- which fails inside a transaction
    told := totp.look_up(p_host, p_host_key, p_user, p_place);
    COMMIT;
END $$;

-- Keep a first enrollment: false, and nothing is kept, where the record is not p_before any more.
CREATE FUNCTION totp.keep_first(
    p_host text, p_host_key bytea, p_request bytea, p_user text, p_before jsonb, p_label text, p_algorithm text,
    p_digits int, p_period int, p_secret bytea, p_last_accepted_step bigint, p_salt bytea, p_digests bytea[])
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_now bigint := totp.unix_time();
    v_key bytea;
    v_groups text[];
    v_policy totp.policy;
    v_id text := encode(totp_crypto.gen_random_bytes(16), 'hex');
    u totp.users;
BEGIN
    PERFORM totp.refuse_in_transaction();
    IF octet_length(p_request) IS DISTINCT FROM 16 OR octet_length(p_salt) IS DISTINCT FROM 16
        OR octet_length(p_secret) NOT BETWEEN 16 AND 128 OR cardinality(p_digests) NOT BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'this is no enrollment' USING ERRCODE = '22023';
    END IF;
    LOCK TABLE totp.authenticators IN ROW EXCLUSIVE MODE;  -- the key is not rotated meanwhile
    SELECT k.o_key, k.o_groups INTO v_key, v_groups FROM totp.data_key(p_host, p_host_key) k;
    SELECT * INTO v_policy FROM totp.policy;
    PERFORM totp.commit_durably(v_policy.require_standby);
    IF NOT v_policy.first_enrollment THEN
        RAISE EXCEPTION 'the fleet allows no first enrollment at a login' USING ERRCODE = 'TP004';
    END IF;
    -- Somebody new is let in on the hosts that are of a group with this one: it answers for no others.
    INSERT INTO totp.users (name, status, groups, created_at, updated_at)
    SELECT p_user, 'active', coalesce(nullif(array_remove(v_groups, '*'), '{}'), '{*}'), v_now, v_now
    WHERE p_before IS NULL
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        SELECT * INTO u FROM totp.users x WHERE x.name = p_user AND x.groups && v_groups FOR NO KEY UPDATE;
        IF u.last_request = p_request THEN  -- asked again: see totp.judge
            UPDATE totp.users x SET last_request = p_request WHERE x.name = p_user;
            RETURN true;
        END IF;
        IF p_before IS NULL OR totp.told(p_user, v_groups) IS DISTINCT FROM p_before
            OR jsonb_array_length(p_before -> 'authenticators') > 0 THEN
            RETURN false;
        END IF;
    END IF;
    INSERT INTO totp.authenticators
        (id, user_name, label, algorithm, digits, period, last_accepted_step, sealed_secret, created_at)
    VALUES (v_id, p_user, p_label, p_algorithm, p_digits, p_period, p_last_accepted_step,
        totp.seal(p_secret, v_key, totp.secret_binding(p_user, v_id, p_algorithm, p_digits, p_period, 'totp')), v_now);
    DELETE FROM totp.recovery_codes r WHERE r.user_name = p_user;
    INSERT INTO totp.recovery_codes (user_name, digest) SELECT p_user, unnest(p_digests);
    UPDATE totp.users x SET
        status = CASE WHEN x.status = 'must_enroll' OR x.status = 'exempt' AND x.exempt_until BETWEEN 1 AND v_now
            THEN 'active' ELSE x.status END,
        exempt_until = CASE WHEN x.status = 'must_enroll' OR x.exempt_until <= v_now THEN 0 ELSE x.exempt_until END,
        recovery_salt = p_salt, failures = 0, throttled_until = 0, guesses_until = 0, known_places = '{}',
        remembered = '{}',
        updated_at = v_now,
        last_request = p_request
    WHERE x.name = p_user;
    PERFORM totp.note(p_host, p_user, 'enrolled', NULL, NULL);
    RETURN true;
END $$;

CREATE PROCEDURE totp.enroll_first(
    p_host text, p_host_key bytea, p_request bytea, p_user text, p_before jsonb, p_label text, p_algorithm text,
    p_digits int, p_period int, p_secret bytea, p_last_accepted_step bigint, p_salt bytea, p_digests bytea[],
    OUT is_kept boolean)
LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    is_kept := totp.keep_first(p_host, p_host_key, p_request, p_user, p_before, p_label, p_algorithm,
        p_digits, p_period, p_secret, p_last_accepted_step, p_salt, p_digests);
    SET LOCAL client_min_messages = warning;
    COMMIT;
END $$;

CREATE FUNCTION totp.take_told(p_host text, p_host_key bytea, p_user text, p_count int) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_groups text[];
BEGIN
    SELECT k.o_groups INTO v_groups FROM totp.data_key(p_host, p_host_key) k;
    UPDATE totp.users x SET untold = greatest(x.untold - greatest(p_count, 0), 0)
    WHERE x.name = p_user AND x.groups && v_groups AND x.untold > 0;
    RETURN FOUND;
END $$;

CREATE PROCEDURE totp.have_told(p_host text, p_host_key bytea, p_user text, p_count int)
LANGUAGE plpgsql AS $$
DECLARE
    v_is_less boolean;
BEGIN
    COMMIT;
    v_is_less := totp.take_told(p_host, p_host_key, p_user, p_count);
    COMMIT;
END $$;

-- Replace the one-time key of a token by one that the host made. TP005: used, too late, another key.
CREATE FUNCTION totp.take_token(p_host text, p_one_time_key bytea, p_new_key bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_key bytea;
    v_require_standby boolean;
BEGIN
    PERFORM totp.refuse_in_transaction();
    IF octet_length(p_new_key) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'a host key has 32 bytes' USING ERRCODE = '22023';
    END IF;
    SELECT y.require_standby INTO v_require_standby FROM totp.policy y;
    PERFORM totp.commit_durably(v_require_standby);
    LOCK TABLE totp.hosts IN ROW EXCLUSIVE MODE;  -- the key is not rotated meanwhile
    SELECT totp.unseal(h.wrapped_key, p_one_time_key, totp.field('data key') || totp.field(p_host)) INTO v_key
    FROM totp.hosts h WHERE h.name = p_host AND h.joined_at IS NULL AND h.join_until > totp.unix_time() FOR NO KEY UPDATE;
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'this token was used, has expired, or is another host''s' USING ERRCODE = 'TP005';
    END IF;
    UPDATE totp.hosts h SET joined_at = totp.unix_time(),
        wrapped_key = totp.seal(v_key, p_new_key, totp.field('data key') || totp.field(p_host)),
        sealed_key = totp.seal(p_new_key, v_key, totp.field('host key') || totp.field(p_host))
    WHERE h.name = p_host;
    PERFORM totp.note(p_host, '', 'joined', NULL, NULL);
    RETURN true;
END $$;

CREATE PROCEDURE totp.join(p_host text, p_one_time_key bytea, p_new_key bytea)
LANGUAGE plpgsql AS $$
DECLARE
    v_has_joined boolean;
BEGIN
    COMMIT;
    v_has_joined := totp.take_token(p_host, p_one_time_key, p_new_key);
    SET LOCAL client_min_messages = warning;
    COMMIT;
END $$;
