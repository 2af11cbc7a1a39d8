-- What a host may be given for the hours in which it cannot reach this database, and what it reports
-- after that. A host may have been taken over: it is believed only what a kit could hold.

-- accepted_at: when a code of theirs was last accepted on that host, to the hour. fetched_at, until: from
-- when to when the last codes that were given out are good. wrong: how many reported wrong codes were
-- counted since that login, the last ones at counted_at. Not bound to users: what a removed one did by a
-- kit is reported after that.
CREATE TABLE totp.kits (
    host text COLLATE "C" NOT NULL REFERENCES totp.hosts (name) ON DELETE CASCADE,
    user_name text COLLATE "C" NOT NULL,
    accepted_at bigint NOT NULL,
    fetched_at bigint NOT NULL DEFAULT 0,
    until bigint NOT NULL DEFAULT 0,
    counted_at bigint NOT NULL DEFAULT 0,
    wrong int NOT NULL DEFAULT 0,
    PRIMARY KEY (host, user_name)
);

-- Events come in the order of their time, but for those that are reported later: this index costs a
-- login nothing, and says whether a step was accepted elsewhere.
CREATE INDEX events_at ON totp.events USING brin (at);

-- For how long after their last login with a code a host may be given codes of somebody.
CREATE FUNCTION totp.kit_seconds() RETURNS int IMMUTABLE PARALLEL SAFE RETURN 7 * 86400;

-- A code of p_user was accepted on p_host.
CREATE FUNCTION totp.note_accepted(p_host text, p_user text, p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO totp.kits (host, user_name, accepted_at) VALUES (p_host, p_user, p_now)
    ON CONFLICT (host, user_name) DO UPDATE SET accepted_at = excluded.accepted_at, wrong = 0
    WHERE kits.accepted_at < excluded.accepted_at - 3600 OR kits.wrong > 0;
END $$;

-- The numbers of which the codes of these steps are the last digits, 4 bytes each.
CREATE FUNCTION totp.code_numbers(p_secret bytea, p_first bigint, p_last bigint, p_algorithm text) RETURNS bytea
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT coalesce(string_agg(
        int4send(totp.truncated(macs.mac, get_byte(macs.mac, octet_length(macs.mac) - 1) & 15)), ''::bytea
        ORDER BY macs.step), ''::bytea)
    FROM (
        SELECT step, totp_crypto.hmac(int8send(step), p_secret, p_algorithm) AS mac
        FROM generate_series(p_first, p_last) AS step OFFSET 0) AS macs;
END;

-- The earliest step that may be accepted from p_now on.
CREATE FUNCTION totp.first_step(p_authenticator totp.authenticators, p_now bigint, p_window int) RETURNS bigint
IMMUTABLE PARALLEL SAFE
RETURN greatest(
    least(totp.base_step(p_authenticator, p_now), totp.current_step(p_authenticator, p_now)) - p_window, 0);

-- Only totp.codes_ahead gets here, as with totp.judge: what was given out is on record before it is told.
CREATE FUNCTION totp.give_codes(p_host text, p_host_key bytea, p_users text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_now bigint := totp.unix_time();
    v_key bytea;
    v_groups text[];
    v_policy totp.policy;
    v_until bigint;
    v_given text[];
    v_told jsonb;
BEGIN
    PERFORM totp.refuse_in_transaction();
    LOCK TABLE totp.authenticators IN ROW EXCLUSIVE MODE;  -- the key is not rotated meanwhile
    SELECT k.o_key, k.o_groups INTO v_key, v_groups FROM totp.data_key(p_host, p_host_key) k;
    SELECT * INTO v_policy FROM totp.policy;
    PERFORM totp.commit_durably(v_policy.require_standby);
    v_until := v_now + v_policy.offline_hours * 3600;
    DELETE FROM totp.kits k WHERE k.host = p_host AND greatest(k.accepted_at, k.until) < v_now - totp.kit_seconds();
    WITH given AS (
        UPDATE totp.kits k SET fetched_at = v_now, until = greatest(k.until, v_until), counted_at = v_now
        FROM totp.users u
        WHERE v_policy.offline_hours > 0 AND k.host = p_host AND k.user_name = ANY (p_users[1:64])
            AND k.accepted_at > v_now - totp.kit_seconds()
            AND u.name = k.user_name AND u.status = 'active' AND u.groups && v_groups
            AND EXISTS (SELECT FROM totp.authenticators x WHERE x.user_name = u.name AND x.kind = 'totp')
        RETURNING k.user_name)
    SELECT array_agg(g.user_name) INTO v_given FROM given g;
    SELECT jsonb_agg(jsonb_build_object(
        'user', u.name, 'failures', u.failures, 'throttled_until', u.throttled_until,
        'guesses_until', u.guesses_until, 'known_places', (
            SELECT coalesce(jsonb_agg(to_jsonb(p) || jsonb_build_object('name',
                CASE WHEN starts_with(p.name, p_host || ': ') THEN substr(p.name, length(p_host) + 3) ELSE p.name END)
                ORDER BY p.used_at DESC, p.name), '[]')
            FROM unnest(u.known_places) AS p
            WHERE starts_with(p.name, p_host || ': ') OR p.name ~ '^[0-9a-f.:/]+$'),
        'authenticators', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', a.id, 'label', a.label, 'algorithm', a.algorithm, 'digits', a.digits, 'period', a.period,
                'drift', a.drift, 'learned', a.learned, 'last_accepted_step', a.last_accepted_step,
                'first_step', totp.first_step(a, v_now, v_policy.code_window),
                'codes', encode(totp.code_numbers(opened.secret, totp.first_step(a, v_now, v_policy.code_window),
                    totp.latest_step(a, v_until, 0), a.algorithm), 'hex')
            ) ORDER BY a.label), '[]')
            FROM totp.authenticators a, LATERAL (
                SELECT totp.unseal(a.sealed_secret, v_key,
                    totp.secret_binding(u.name, a.id, a.algorithm, a.digits, a.period, a.kind)) AS secret OFFSET 0) AS opened
            WHERE a.user_name = u.name AND a.kind = 'totp' AND opened.secret IS NOT NULL)
    ) ORDER BY u.name) INTO v_told
    FROM totp.users u WHERE u.name = ANY (v_given);
    RETURN jsonb_build_object(
        'at', v_now, 'hours', v_policy.offline_hours,
        'last_merged', (SELECT h.merged_seq FROM totp.hosts h WHERE h.name = p_host),
        'policy', to_jsonb(v_policy) - '{only_row,require_standby,offline_hours,first_enrollment}'::text[],
        'users', coalesce(v_told, '[]'));
END $$;

-- The codes of the next hours, as many as the policy allows, of those of 64 p_users of whom a code was
-- accepted on this host within totp.kit_seconds(), and who are active and may log in there. Never those of
-- a counter (HOTP): they do not end with the hour, so that each host could take the same one for as long.
CREATE PROCEDURE totp.codes_ahead(p_host text, p_host_key bytea, p_users text[], OUT told jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;  -- which fails inside a transaction
    told := totp.give_codes(p_host, p_host_key, p_users);
    SET LOCAL client_min_messages = warning;
    COMMIT;
END $$;

-- A whole number that is not negative, or null.
CREATE FUNCTION totp.whole(p_value jsonb) RETURNS bigint IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_typeof(p_value) = 'number' THEN
    CASE WHEN p_value::numeric BETWEEN 0 AND 1e15 THEN trunc(p_value::numeric)::bigint END
END;

-- How many wrong codes the throttle lets through in so many seconds, after p_before of them.
CREATE FUNCTION totp.guesses_within(p_seconds bigint, p_before int, p_policy totp.policy) RETURNS int
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_left bigint := p_seconds;
    v_count int := p_before;
BEGIN
    WHILE v_count < (p_policy).max_failures LOOP
        v_left := v_left - totp.throttle_wait(
            v_count, (p_policy).throttle_after, (p_policy).throttle_base, (p_policy).throttle_max);
        EXIT WHEN v_left < 0 OR v_left IS NULL;
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count - p_before;
END $$;

-- Take the report of a host: one entry an answer, with a number; those that are known already, up to
-- merged_seq, change nothing. {"number", "user", "outcome": accepted or rejected, "at", "used": [[id, step]...],
-- "service", "rhost"}. Return the number of the last entry that is known now. No entry makes it fail.
--
-- A host can lie. Whatever it says: only people are touched whose codes it was given; no last accepted
-- step goes back, and none goes further ahead than a code may be entered early; no count goes back; of
-- wrong codes no more count than the throttle lets through since the last ones, nor do they lock; none count for
-- a known place, and no place becomes known.
CREATE FUNCTION totp.take_report(p_host text, p_host_key bytea, p_entries jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_now bigint := totp.unix_time();
    v_groups text[];
    p totp.policy;
    v_done bigint;
    v_last bigint;
    v_entries jsonb;
    v_entry jsonb;
    v_used jsonb;
    v_name text;
    u totp.users;
    k totp.kits;
    a totp.authenticators;
    v_is_known boolean;
    v_at bigint;
    v_step bigint;
    v_event text;
    v_label text;
    v_id text;
    v_of_event bigint;
    v_in_a_row int;
    v_wrong int;
    v_allowed int;
    v_refused int;
    v_interval int;
BEGIN
    SELECT x.o_groups INTO v_groups FROM totp.data_key(p_host, p_host_key) x;
    SELECT * INTO p FROM totp.policy;
    PERFORM totp.commit_durably(p.require_standby);
    -- One report of a host at a time. Rows of users are locked before that of the host, as by totp.judge.
    PERFORM pg_advisory_xact_lock(hashtextextended('totp.merge_offline ' || p_host, 0));
    SELECT h.merged_seq INTO v_done FROM totp.hosts h WHERE h.name = p_host;
    SELECT jsonb_agg(e ORDER BY totp.whole(e -> 'number')), max(totp.whole(e -> 'number')) INTO v_entries, v_last
    FROM (
        SELECT e FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(p_entries) = 'array' THEN p_entries ELSE '[]' END) AS e
        WHERE jsonb_typeof(e) = 'object' AND totp.whole(e -> 'number') > v_done
            AND jsonb_typeof(e -> 'user') = 'string'
        ORDER BY totp.whole(e -> 'number') LIMIT 1000) AS entries;
    IF v_last IS NULL THEN
        RETURN v_done;
    END IF;
    v_interval := p.slow_period / p.slow_guesses;

    FOR v_name IN SELECT DISTINCT (e ->> 'user') COLLATE "C" AS name FROM jsonb_array_elements(v_entries) AS e ORDER BY name LOOP
        -- Nobody is to wait for what a host says of people whose codes it was not given.
        SELECT * INTO u FROM totp.users x WHERE x.name = v_name AND EXISTS (
            SELECT FROM totp.kits y WHERE y.host = p_host AND y.user_name = v_name AND y.until > 0) FOR NO KEY UPDATE;
        v_is_known := FOUND AND u.status IN ('active', 'exempt') AND u.groups && v_groups;
        SELECT * INTO k FROM totp.kits x WHERE x.host = p_host AND x.user_name = v_name FOR NO KEY UPDATE;
        v_in_a_row := 0;
        v_wrong := 0;
        v_refused := 0;
        v_allowed := coalesce(totp.guesses_within(least(v_now, k.until) - k.counted_at, k.wrong, p), 0);
        FOR v_entry IN SELECT e FROM jsonb_array_elements(v_entries) AS e WHERE e ->> 'user' = v_name LOOP
            v_at := greatest(least(coalesce(totp.whole(v_entry -> 'at'), v_now), v_now), k.fetched_at);
            v_event := NULL;
            v_label := '';
            v_id := NULL;
            v_of_event := NULL;
            IF k.until = 0 OR k.until IS NULL THEN
                v_refused := v_refused + 1;  -- it was given no codes of them
            ELSIF v_entry ->> 'outcome' = 'rejected' THEN
                IF v_wrong < v_allowed THEN
                    v_wrong := v_wrong + 1;
                    v_in_a_row := v_in_a_row + 1;
                    v_event := 'rejected';
                ELSE
                    v_refused := v_refused + 1;
                END IF;
            ELSIF v_entry ->> 'outcome' = 'accepted' AND jsonb_typeof(v_entry -> 'used') = 'array' THEN
                FOR v_used IN SELECT x FROM jsonb_array_elements(v_entry -> 'used') AS x
                    WHERE jsonb_typeof(x) = 'array' AND jsonb_typeof(x -> 0) = 'string' LIMIT 64
                LOOP
                    v_step := totp.whole(v_used -> 1);
                    SELECT * INTO a FROM totp.authenticators x WHERE x.id = v_used ->> 0 AND x.user_name = v_name AND x.kind = 'totp';
                    IF NOT FOUND THEN
                        v_event := coalesce(v_event, 'accepted_void');  -- reset or removed since
                        CONTINUE;
                    END IF;
                    -- 300 s: as far as the clock of the host may be behind.
                    IF v_step IS NULL OR v_step > totp.latest_step(a, v_now, p.code_window + 1)
                        OR v_step > totp.latest_step(a, k.until, 0)
                        OR v_step < totp.first_step(a, k.fetched_at - 300, p.code_window) THEN
                        CONTINUE;  -- no kit could hold that step, or it could not be used yet
                    END IF;
                    IF v_step <= a.last_accepted_step AND EXISTS (
                        SELECT FROM totp.events x WHERE x.authenticator_id = a.id AND x.step = v_step
                            AND x.event IN ('accepted', 'accepted_twice', 'accepted_void')
                            AND x.at BETWEEN to_timestamp((v_step - a.drift) * a.period - 3600)
                                AND to_timestamp((v_step - a.drift) * a.period + 3600)) THEN
                        v_event := 'accepted_twice';
                    ELSIF v_event IS DISTINCT FROM 'accepted_twice' THEN
                        v_event := CASE WHEN v_is_known THEN 'accepted' ELSE 'accepted_void' END;
                    END IF;
                    IF v_id IS NULL OR v_event = 'accepted_twice' THEN
                        v_label := a.label;
                        v_id := a.id;
                        v_of_event := v_step;
                    END IF;
                    UPDATE totp.authenticators x SET
                        last_accepted_step = greatest(x.last_accepted_step, v_step),
                        last_used_at = greatest(x.last_used_at, v_at)
                    WHERE x.id = a.id;
                END LOOP;
                IF v_event IS NULL THEN
                    v_refused := v_refused + 1;
                ELSE
                    v_in_a_row := 0;
                END IF;
            ELSE
                v_refused := v_refused + 1;
            END IF;
            IF v_event IS NOT NULL THEN
                INSERT INTO totp.events
                    (at, host, user_name, event, service, rhost, authenticator, authenticator_id, step, offline)
                VALUES (to_timestamp(v_at), p_host, left(v_name, 255), v_event,
                    coalesce(left(v_entry ->> 'service', 255), ''), coalesce(left(v_entry ->> 'rhost', 255), ''),
                    v_label, v_id, v_of_event, true);
            END IF;
        END LOOP;
        IF v_refused > 0 THEN
            INSERT INTO totp.events (host, user_name, event, service, rhost, wait, offline)
            VALUES (p_host, left(v_name, 255), 'report_refused', '', '', v_refused, true);
        END IF;
        IF v_wrong > 0 THEN
            u.failures := greatest(u.failures, least(u.failures + v_in_a_row, totp.locked_from(p.max_failures) - 1));
            UPDATE totp.users x SET failures = u.failures, untold = x.untold + v_wrong, remembered = '{}',
                throttled_until = CASE WHEN v_in_a_row > 0 THEN greatest(x.throttled_until, v_now + nullif(totp.throttle_wait(
                    u.failures, p.throttle_after, p.throttle_base, p.throttle_max), 0)) ELSE x.throttled_until END,
                guesses_until = greatest(x.guesses_until, v_now + least(
                    totp.locked_from(p.slow_guesses)::bigint * v_interval,
                    v_wrong * v_interval + totp.guesses_debt(x.guesses_until, p.slow_guesses, v_now, v_interval))),
                updated_at = v_now
            WHERE x.name = v_name;
            UPDATE totp.kits x SET counted_at = v_now, wrong = x.wrong + v_wrong WHERE x.host = p_host AND x.user_name = v_name;
        END IF;
    END LOOP;
    UPDATE totp.hosts h SET merged_seq = v_last WHERE h.name = p_host;
    RETURN v_last;
END $$;

CREATE PROCEDURE totp.merge_offline(p_host text, p_host_key bytea, p_entries jsonb, OUT merged bigint)
LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    merged := totp.take_report(p_host, p_host_key, p_entries);
    SET LOCAL client_min_messages = warning;
    COMMIT;
END $$;
