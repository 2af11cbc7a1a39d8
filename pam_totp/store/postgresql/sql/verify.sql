-- The critical section: pam_totp/core/verifier.py, in the database. A differential test holds it to that.

-- Only totp.verify gets here: see totp.refuse_in_transaction.
CREATE FUNCTION totp.judge(
    p_host text, p_host_key bytea, p_request bytea, p_user text, p_code text, p_salt bytea, p_digest bytea,
    p_is_decoy boolean, p_window int, p_service text, p_rhost text, p_place text, p_remember jsonb)
RETURNS totp.verdict LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v_now bigint;
    v_asking record;
    v_key bytea;
    v_groups text[];
    v_bound bytea;
    p totp.policy;
    u totp.users;
    a totp.authenticators;
    v_known boolean := false;
    v_bucket int;
    v_authenticators totp.authenticators[];
    v_secrets bytea[];
    v_secret bytea;
    v_window int;
    v_found int[];
    v_step bigint;
    v_fresh bigint;
    v_wait int;
    v_interval int;
    v_debt bigint;
    v_place_name text := totp.place_name(p_place, p_host);
    v_place totp.place;
    v_at int;
    v_has_allowance boolean;
    v_is_locked boolean;
    v_budget_wait bigint;
    v totp.verdict := ('rejected', '', 0, 0, 0, false, 0, false);
    v_behind boolean := false;
    v_accepted int[] := '{}';
    v_steps bigint[] := '{}';
    v_replayed int;
BEGIN
    PERFORM totp.refuse_in_transaction();
    -- Any other level could fail because of what a right code alone writes, with nothing counted.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'call totp.verify with the isolation level read committed' USING ERRCODE = '42501';
    END IF;
    IF octet_length(p_request) IS DISTINCT FROM 16 OR p_user IS NULL THEN
        RAISE EXCEPTION 'a request has 16 bytes and a user' USING ERRCODE = '22023';
    END IF;
    v_asking := totp.data_key(p_host, p_host_key);
    v_key := v_asking.o_key;
    v_groups := v_asking.o_groups;
    SELECT * INTO p FROM totp.policy;
    PERFORM totp.commit_durably(p.require_standby);
    v_window := greatest(least(p_window, p.code_window), 0);  -- null: the fleet's own

    IF NOT coalesce(p_is_decoy, false) THEN
        SELECT * INTO u FROM totp.users x WHERE x.name = p_user AND x.groups && v_groups FOR NO KEY UPDATE;
        IF FOUND THEN
            -- In a statement of its own: it sees what was committed while the row was waited for.
            v_authenticators := ARRAY(SELECT x FROM totp.authenticators x WHERE x.user_name = p_user ORDER BY x.label);
            v_known := cardinality(v_authenticators) > 0;
        END IF;
    END IF;
    IF NOT v_known THEN
        v_secret := totp.decoy_key(v_key);
        v_bucket := totp.decoy_bucket(totp.decoy('bucket', p_user, v_secret));
        SELECT 'suspended', x.failures, x.throttled_until, x.guesses_until, x.last_request, x.last_verdict
        INTO u.status, u.failures, u.throttled_until, u.guesses_until, u.last_request, u.last_verdict
        FROM totp.decoys x WHERE x.bucket = v_bucket FOR NO KEY UPDATE;
        a.label := 'decoy'; a.algorithm := 'SHA1'; a.digits := 6; a.period := 30; a.drift := 0; a.last_accepted_step := -1;
        a.kind := 'totp'; a.learned := 0;
        v_authenticators := ARRAY[a];
        v_secrets := ARRAY[substring(totp.decoy('secret', p_user, v_secret) FOR 20)];
        u.recovery_salt := substring(totp.decoy('salt', p_user, v_secret) FOR 16);
        u.known_places := '{}';
    END IF;
    IF u.last_request = p_request THEN
        -- Asked again, because the answer was lost. A write, so that this commit waits for the standby:
        -- the first one may have been torn from that wait.
        IF v_known THEN
            UPDATE totp.users x SET last_request = p_request WHERE x.name = p_user;
        ELSE
            UPDATE totp.decoys x SET last_request = p_request WHERE x.bucket = v_bucket;
        END IF;
        RETURN u.last_verdict;
    END IF;

    -- standing()
    v_now := totp.unix_time();
    v_at := totp.place_number(u.known_places, v_place_name, v_now);
    v_place := u.known_places[v_at];
    v_has_allowance := totp.has_allowance(v_place, p_code IS NOT NULL, v_now, p);
    v_is_locked := u.failures >= CASE WHEN v_has_allowance THEN p.max_failures ELSE totp.locked_from(p.max_failures) END;
    v_wait := CASE WHEN v_has_allowance
        THEN totp.remaining_wait(v_place.throttled_until, v_place.failures, v_now, p)
        ELSE totp.remaining_wait(u.throttled_until, u.failures, v_now, p) END;
    v_interval := p.slow_period / p.slow_guesses;
    v_debt := totp.guesses_debt(u.guesses_until, p.slow_guesses, v_now, v_interval);
    v_budget_wait := v_debt - v_interval::bigint
        * ((CASE WHEN v_has_allowance THEN p.slow_guesses ELSE totp.locked_from(p.slow_guesses) END) - 1);
    IF v_is_locked AND NOT (p.recovery_unlocks AND p_code IS NULL) THEN
        v.outcome := 'locked';
        v.codes_only := p.recovery_unlocks;
    ELSIF v_wait > 0 THEN
        v.outcome := 'throttled';
        v.wait := v_wait;
        IF v_has_allowance THEN
            v_place.throttled_until := v_now + v_wait;
            u.known_places[v_at] := v_place;
        ELSE
            u.throttled_until := v_now + v_wait;
        END IF;
    ELSIF p_code IS NOT NULL AND v_budget_wait > 0 THEN
        v.outcome := 'throttled';
        v.wait := v_budget_wait;
        v.codes_only := true;
    ELSIF p_code IS NULL AND p_digest IS NULL THEN
        v.outcome := 'hash first';
        RETURN v;
    ELSE
        IF p_code IS NULL THEN
            -- Same work for a decoy, which has no digest.
            PERFORM FROM totp.recovery_codes r WHERE r.user_name = p_user AND r.digest = p_digest;
            IF FOUND AND v_known AND p_salt = u.recovery_salt THEN
                v.outcome := 'recovery_used';
            END IF;
        ELSE
            FOR i IN 1 .. cardinality(v_authenticators) LOOP
                a := v_authenticators[i];
                IF v_known THEN
                    v_bound := totp.secret_binding(p_user, a.id, a.algorithm, a.digits, a.period, a.kind);
                    v_secret := totp.unseal(a.sealed_secret, v_key, v_bound);
                    IF v_secret IS NULL THEN  -- the key was rotated since we read it
                        v_asking := totp.data_key(p_host, p_host_key);
                        v_key := v_asking.o_key;
                        v_secret := totp.unseal(a.sealed_secret, v_key, v_bound);
                    END IF;
                    IF v_secret IS NULL THEN
                        RAISE EXCEPTION 'a sealed secret does not open' USING ERRCODE = 'TP003';
                    END IF;
                    v_secrets[i] := v_secret;
                END IF;
                v_step := totp.current_step(a, v_now);
                v_found := totp.matching_offsets(p_code, v_secrets[i], v_step,
                    totp.accepted_offsets(a, v_now, v_window, p.look_ahead), a.algorithm, a.digits);
                v_behind := v_behind OR a.last_accepted_step > totp.latest_step(a, v_now, v_window);
                IF cardinality(v_found) > 0 THEN
                    v_fresh := v_step + v_found[cardinality(v_found)];
                    IF v_fresh > a.last_accepted_step THEN
                        v_accepted := v_accepted || i;
                        v_steps := v_steps || v_fresh;
                    ELSE
                        v_replayed := coalesce(v_replayed, i);
                    END IF;
                END IF;
            END LOOP;
            IF cardinality(v_accepted) > 0 THEN
                v.outcome := 'accepted';
                v.authenticator := (v_authenticators[v_accepted[1]]).label;
            ELSE
                v.clock_is_behind := v_behind;
                IF v_replayed IS NOT NULL THEN
                    a := v_authenticators[v_replayed];
                    v_step := totp.current_step(a, v_now);
                    v.outcome := 'replayed';
                    v.authenticator := a.label;
                    v.wait := CASE a.kind WHEN 'hotp' THEN 0
                        ELSE least((greatest(a.last_accepted_step, v_step) + 1 - a.drift) * a.period - totp.followed(a) - v_now,
                            (v_window + 1) * a.period) END;
                END IF;
            END IF;
        END IF;

        IF v.outcome = 'rejected' OR u.status NOT IN ('active', 'exempt') THEN
            v := ('rejected', '', 0, 0, 0, v.clock_is_behind, 0, false);
            -- _count_failure()
            IF v_has_allowance THEN
                v_place.failures := v_place.failures + 1;
                v_place.throttled_until := totp.wait_until(v_place.failures, v_now, p);
                IF p_code IS NOT NULL THEN
                    v_place.guesses_until := v_now + v_interval
                        + totp.guesses_debt(v_place.guesses_until, totp.allowance(p.slow_guesses), v_now, v_interval);
                END IF;
                u.known_places[v_at] := v_place;
            END IF;
            IF p_code IS NOT NULL THEN
                u.guesses_until := v_now + v_debt + v_interval;
            END IF;
            IF NOT v_is_locked THEN
                u.failures := u.failures + 1;
            END IF;
            u.untold := u.untold + 1;
            u.remembered := '{}';
            u.throttled_until := totp.wait_until(u.failures, v_now, p);
            u.updated_at := v_now;
            -- _wait_after()
            v.wait := totp.throttle_wait(
                CASE WHEN totp.has_allowance(v_place, p_code IS NOT NULL, v_now, p) THEN v_place.failures ELSE u.failures END,
                p.throttle_after, p.throttle_base, p.throttle_max);
        ELSIF v.outcome <> 'replayed' THEN
            v.failed_before := u.untold;
            u.known_places := totp.places_used(u.known_places, v_place_name, v_now);
            u.remembered := CASE v.outcome WHEN 'accepted'
                THEN totp.remembering(u.remembered, p_host, p_remember, v_now) ELSE '{}' END;
            IF u.failures > 0 OR u.throttled_until <> 0 THEN
                u.failures := 0;
                u.throttled_until := 0;
                u.updated_at := v_now;
            END IF;
            IF v.outcome = 'recovery_used' THEN
                DELETE FROM totp.recovery_codes r WHERE r.user_name = p_user AND r.digest = p_digest;
                v.recovery_codes_left := (SELECT count(*) FROM totp.recovery_codes r WHERE r.user_name = p_user);
            END IF;
            -- All of them: one secret under two labels must not make one code good twice.
            FOR i IN 1 .. cardinality(v_accepted) LOOP
                a := v_authenticators[v_accepted[i]];
                UPDATE totp.authenticators x SET last_accepted_step = v_steps[i], last_used_at = v_now,
                    clock_offset = 0, clock_sightings = 0, learned = totp.learned(a, v_steps[i], v_now)
                WHERE x.id = a.id;
            END LOOP;
        END IF;
    END IF;

    IF v_known THEN
        UPDATE totp.users x SET failures = u.failures, untold = u.untold, throttled_until = u.throttled_until,
            guesses_until = u.guesses_until, known_places = u.known_places, remembered = u.remembered, updated_at = u.updated_at,
            last_request = p_request, last_verdict = v
        WHERE x.name = p_user;
    ELSE
        UPDATE totp.decoys x SET failures = u.failures, throttled_until = u.throttled_until,
            guesses_until = u.guesses_until, last_request = p_request, last_verdict = v
        WHERE x.bucket = v_bucket;
    END IF;
    INSERT INTO totp.events (host, user_name, event, service, rhost, authenticator, wait, authenticator_id, step)
    VALUES (p_host, left(p_user, 255), v.outcome, coalesce(left(p_service, 255), ''), coalesce(left(p_rhost, 255), ''),
        v.authenticator, v.wait,
        CASE WHEN v.outcome = 'accepted' THEN (v_authenticators[v_accepted[1]]).id END,
        CASE WHEN v.outcome = 'accepted' THEN v_steps[1] END);
    IF v.outcome = 'accepted' AND p.offline_hours > 0 THEN
        PERFORM totp.note_accepted(p_host, p_user, v_now);
    END IF;
    IF v.outcome = 'rejected' AND p_code IS NOT NULL THEN
        v.clock_offset := NULL;  -- of this code, and this once, totp.verify is still to look for it
    END IF;
    RETURN v;
EXCEPTION WHEN query_canceled THEN
    -- Where it was would tell: a right code is written sooner than a wrong one.
    RAISE EXCEPTION 'canceled' USING ERRCODE = '57014';
END $$;

-- Whose wrong clock or counter a rejected code belongs to: _look_beyond_the_window(), one authenticator at a time, in
-- turn with the failures. In a transaction of its own, for it takes longer than all the rest: whoever
-- cancels a question once a right code would have been committed must not find that wrong ones were not
-- counted. Only totp.verify gets here, with the code that was judged.
CREATE FUNCTION totp.look_beyond(
    p_host text, p_host_key bytea, p_request bytea, p_user text, p_code text, p_is_decoy boolean, p_window int,
    p_verdict totp.verdict)
RETURNS totp.verdict LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    v totp.verdict := p_verdict;
    v_asking record;
    v_user totp.users;
    v_authenticators totp.authenticators[] := '{}';
    a totp.authenticators;
    v_secret bytea;
    v_window int;
    v_look_ahead int;
    v_now bigint := totp.unix_time();
    v_count int := 209;
    v_found int[];
    v_offset int;
BEGIN
    v.clock_offset := 0;
    SELECT greatest(least(p_window, y.code_window), 0), y.look_ahead INTO v_window, v_look_ahead FROM totp.policy y;
    v_asking := totp.data_key(p_host, p_host_key);
    IF NOT coalesce(p_is_decoy, false) THEN
        SELECT * INTO v_user FROM totp.users x
        WHERE x.name = p_user AND x.groups && v_asking.o_groups FOR NO KEY UPDATE;
        v_authenticators := ARRAY(SELECT x FROM totp.authenticators x WHERE x.user_name = v_user.name ORDER BY x.label);
    END IF;
    IF cardinality(v_authenticators) > 0 THEN
        a := v_authenticators[greatest(v_user.failures - 1, 0) % cardinality(v_authenticators) + 1];
        v_secret := totp.unseal(a.sealed_secret, v_asking.o_key,
            totp.secret_binding(p_user, a.id, a.algorithm, a.digits, a.period, a.kind));
    ELSE
        a.algorithm := 'SHA1'; a.digits := 6; a.period := 30; a.drift := 0; a.kind := 'totp'; a.learned := 0;
        v_secret := substring(totp.decoy('secret', p_user, totp.decoy_key(v_asking.o_key)) FOR 20);
    END IF;
    IF v_secret IS NULL THEN  -- the key was rotated a moment ago
        RETURN v;
    END IF;
    -- What look-ahead windows have taken more than windows of time is not searched: so all take the same.
    FOR i IN 1 .. cardinality(v_authenticators) LOOP
        IF (v_authenticators[i]).kind = 'hotp' THEN
            v_count := v_count - (v_look_ahead + 1 - (2 * v_window + 1));
        END IF;
    END LOOP;
    v_found := totp.matching_offsets(p_code, v_secret, totp.current_step(a, v_now),
        totp.searched_offsets(a.kind, a.period, v_look_ahead, v_count), a.algorithm, a.digits);
    v_offset := (SELECT x FROM unnest(v_found) x ORDER BY abs(x), x LIMIT 1);
    IF v_offset <> ALL (totp.accepted_offsets(a, v_now, v_window, v_look_ahead))
        AND v_user.status IN ('active', 'exempt') AND v_user.last_request = p_request
    THEN
        v.authenticator := a.label;
        v.clock_offset := v_offset;
        UPDATE totp.authenticators x SET clock_offset = v_offset, clock_sightings =
            CASE WHEN x.clock_sightings > 0 AND abs(v_offset - x.clock_offset) <= 2
            THEN x.clock_sightings + 1 ELSE 1 END
        WHERE x.id = a.id;
        UPDATE totp.users x SET last_verdict = v WHERE x.name = p_user;
    END IF;
    RETURN v;
END $$;

-- Judge one answer: what it changes is committed before the verdict is told. The caller's own rights:
-- a procedure with those of another cannot commit. outcome "hash first": p_digest is needed.
CREATE PROCEDURE totp.verify(
    p_host text, p_host_key bytea, p_request bytea, p_user text, p_code text, p_salt bytea, p_digest bytea,
    p_is_decoy boolean, p_window int, p_service text, p_rhost text, p_place text,
    p_remember jsonb,
    OUT outcome text, OUT authenticator text, OUT wait int, OUT recovery_codes_left int, OUT failed_before int,
    OUT clock_is_behind boolean, OUT clock_offset int, OUT codes_only boolean)
LANGUAGE plpgsql AS $$
DECLARE
    v totp.verdict;
BEGIN
    COMMIT;  -- which fails inside a transaction
    v := totp.judge(p_host, p_host_key, p_request, p_user, p_code, p_salt, p_digest, p_is_decoy, p_window, p_service, p_rhost,
        p_place, p_remember);
    SET LOCAL client_min_messages = warning;  -- a wait for the standby that is cancelled ends in one: see client.py
    COMMIT;
    IF v.clock_offset IS NULL THEN
        v := totp.look_beyond(p_host, p_host_key, p_request, p_user, p_code, p_is_decoy, p_window, v);
        COMMIT;
    END IF;
    outcome := v.outcome;
    authenticator := v.authenticator;
    wait := v.wait;
    recovery_codes_left := v.recovery_codes_left;
    failed_before := v.failed_before;
    clock_is_behind := v.clock_is_behind;
    clock_offset := v.clock_offset;
    codes_only := v.codes_only;
END $$;
