#!lua name=penchant

-- All writes to profiles, format version 1. profiles/library.py is the typed face of this file and says what goes
-- in and out; profiles/decay.py holds the same algebra. Instants and half-lives are microseconds; none is read
-- from a clock. Every key is derived from the user's stem (KEYS), which fixes the hash slot.

local SCHEMA = 1
local FORGOTTEN_HALF_LIVES = 30
local DAY = 24 * 3600 * 1000000
local ID_BYTES = 8
local ITEM_BYTES = 4
local APPENDED_FROM = 4096 -- bytes; APPEND takes twice the memory that a string needs, SET the time to copy it
local NO_ITEM = '\0\0\0\0'
local TALLY = 1000000
local HOUR_OF_LOG = ':hour'
local NONE = {}
local FIELDS = 9 -- of an update, in front of its sets
local CHUNK = 1000 -- most arguments handed to one command; Lua's stack holds some thousands
local BEYOND_ALL = 2 ^ 53 -- a position after any offset
local BUSY_SECONDS = 2 * 3600 -- the least that :busy is kept, for its hour may have just begun
local LN2 = 0.6931471805599453 -- math is not there yet while a library loads

local function round(x)
  return math.floor(x + 0.5)
end

local function refuse(why)
  return redis.error_reply('PENCHANT ' .. why)
end

local function check_schema(schema)
  if schema and tonumber(schema) > SCHEMA then
    return refuse('this profile has schema ' .. schema .. ', newer than ' .. SCHEMA .. ': upgrade this worker')
  end
end

-- Whether `item` is in the list of hashes `items` at least `times` times.
local function holds(items, item, times)
  local found, at = 0, items:find(item, 1, true)
  while at do
    if (at - 1) % ITEM_BYTES == 0 then
      found = found + 1
      if found == times then return true end
    end
    at = items:find(item, at + 1, true)
  end
  return false
end

local function read_busy(stem, log, hour)
  local of, items = (redis.call('HGET', stem .. ':busy', log) or ''):match('^(%d+):(.*)$')
  return tonumber(of) == hour and items or ''
end

-- The influence caps that profiles/policy.py describes, over `count` events; `hours` is an hour for each, or one for
-- all, `items` from the one after `from` their items. `tally` is the hour that the log has reached, and in its last
-- six digits how many of the user's events fall into it: one number, because a string of several costs a tenth of the
-- update. Returns the places (from 1) of the events beyond a cap, the new tally, and the new value of :busy, if any.
-- A log's clock does not go back here: an event that its producer stamped with an earlier hour counts to this one.
local function cap(stem, log, tally, count, hours, items, from, config)
  local all = type(hours) == 'number' and hours
  if all then
    local now = math.max(tally, all * TALLY)
    local after = now % TALLY + count
    if after <= config.user_cap and after <= config.item_cap then return NONE, now + count end
  end
  local hour, events = math.floor(tally / TALLY), tally % TALLY
  local capped, busy, changed = {}, nil, false
  for i = 1, count do
    local of_event = all or hours[i]
    if of_event > hour then hour, events, busy = of_event, 0, '' end
    events = math.min(events + 1, TALLY - 1)
    if events > config.user_cap then
      capped[#capped + 1] = i
    elseif events > config.item_cap then
      local item = items:sub((from + i - 1) * ITEM_BYTES + 1, (from + i) * ITEM_BYTES)
      busy = busy or read_busy(stem, log, hour)
      if item ~= NO_ITEM and holds(busy, item, config.item_cap) then
        capped[#capped + 1] = i
      elseif item ~= NO_ITEM then
        busy, changed = busy .. item, true
      end
    end
  end
  return capped, hour * TALLY + events, changed and hour .. ':' .. busy or nil
end

local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- Whether the profile at `stem` is a copy that this writer may no longer write to: erased or taken over since.
local function fenced(stem, config)
  return config.run and redis.call('HGET', stem .. ':meta', 'run') ~= config.run
end

-- Count a change of the rules, which live on but in a copy. Returns the new version.
local function ruled(stem, config)
  if config.keep then redis.call('EXPIRE', stem .. ':rules', config.keep) end
  return redis.call('HINCRBY', stem .. ':meta', 'rules', 1)
end

-- The positions (from 1) in `ids` of events that are among the last `window` that the user's profile has seen.
local function repeated(seen, ids, window)
  local found
  local known = #seen / ID_BYTES
  for i = 0, #ids / ID_BYTES - 1 do
    local id = ids:sub(i * ID_BYTES + 1, (i + 1) * ID_BYTES)
    local at = seen:find(id, 1, true)
    while at do
      local index = (at - 1) / ID_BYTES
      if index % 1 == 0 and known + i - index <= window then
        found = found or {}
        found[#found + 1] = i + 1
        break
      end
      at = seen:find(id, at + 1, true)
    end
  end
  return found or NONE
end

local function remember(key, seen, ids, window)
  local kept = #seen + #ids
  if kept <= APPENDED_FROM or kept > window * ID_BYTES * 1.25 then
    redis.call('SET', key, (seen .. ids):sub(-window * ID_BYTES), 'KEEPTTL')
  else
    redis.call('APPEND', key, ids)
  end
end

-- Sum `count` scores, which stand in `values` from `scores_at` on, into the set; their members do from `members_at` on.
-- Returns how many members are new, and the highest new score. Each new score is put at the end of `total`, if given.
local zadd_arguments = {} -- used again by every call: a new table would be grown step by step
local function sum_into(key, half_life, values, members_at, scores_at, count, total)
  local call, log, floor, max, abs = redis.call, math.log, math.floor, math.max, math.abs
  local per_octave, arguments = half_life / LN2, zadd_arguments
  local added, top = 0, -math.huge
  for from = 0, count - 1, CHUNK do
    local to = math.min(from + CHUNK, count) - 1
    local old, n = call('ZMSCORE', key, unpack(values, members_at + from, members_at + to)), 0
    for i = from, to do
      local score, before = values[scores_at + i], old[i - from + 1]
      if before then -- the merge of decay.py
        before = tonumber(before)
        score = floor(max(score, before) + per_octave * log(1 + 2 ^ (-abs(score - before) / half_life)) + 0.5)
      end
      top = max(top, score)
      if total then total[#total + 1] = score end
      arguments[n + 1], arguments[n + 2], n = score, values[members_at + i], n + 2
    end
    added = added + call('ZADD', key, unpack(arguments, 1, n))
  end
  return added, top
end

-- Put evidence before what is known: `count` pairs of interest and lines, which stand in `values` from `at` on.
-- Returns whether any of these interests had some.
local function add_evidence(key, values, at, count, limit)
  local is_known = false
  for from = 0, count - 1, CHUNK do
    local to, names, fields = math.min(from + CHUNK, count) - 1, {}, {}
    for i = from, to do names[#names + 1] = values[at + 2 * i] end
    local old = redis.call('HMGET', key, unpack(names))
    for i, name in ipairs(names) do
      local lines = values[at + 2 * (from + i - 1) + 1]
      if old[i] then
        lines, is_known = lines .. '\n' .. old[i], true
      end
      local cut = 0
      for _ = 1, limit do
        cut = lines:find('\n', cut + 1, true)
        if not cut then break end
      end
      if cut then lines = lines:sub(1, cut - 1) end
      fields[#fields + 1], fields[#fields + 2] = name, lines
    end
    redis.call('HSET', key, unpack(fields))
  end
  return is_known
end

-- Drop the evidence of what happened before `oldest`. Within a line only the instant is called "at":, unescaped.
local function drop_evidence(key, oldest)
  local why = redis.call('HGETALL', key)
  for i = 1, #why, 2 do
    local kept, dropped = {}, false
    for line in why[i + 1]:gmatch('[^\n]+') do
      if tonumber(line:match('"at":(%-?%d+)')) < oldest then dropped = true else kept[#kept + 1] = line end
    end
    if #kept == 0 then
      redis.call('HDEL', key, why[i])
    elseif dropped then
      redis.call('HSET', key, why[i], table.concat(kept, '\n'))
    end
  end
end

-- Drop the evidence of those of `interests` that are in no set any more: it would outlive them, and without a bound.
local function drop_orphans(stem, interests, config)
  for from = 1, #interests, CHUNK do
    local to, held, gone = math.min(from + CHUNK - 1, #interests), {}, {}
    for _, set in ipairs(config.sets) do
      for i, score in ipairs(redis.call('ZMSCORE', stem .. set[1], unpack(interests, from, to))) do
        held[i] = held[i] or score
      end
    end
    for i = from, to do
      if not held[i - from + 1] then gone[#gone + 1] = interests[i] end
    end
    if #gone > 0 then redis.call('HDEL', stem .. ':why', unpack(gone)) end
  end
end

-- Seconds that a set is kept whose highest score is `top`: until that is forgotten, plus the grace, plus the day that
-- may pass before this is looked at again. A copy's is kept no longer than copies are.
local function lifetime(top, newest, half_life, config)
  local left = math.max(top - newest, 0) + FORGOTTEN_HALF_LIVES * half_life + DAY
  return math.min(math.ceil(left / 1000000) + config.grace, config.keep or math.huge)
end

-- What lives as long as the last of a user's sets.
local function expire_beside_sets(stem, seconds)
  for _, suffix in ipairs({ ':meta', ':why', ':seen' }) do redis.call('EXPIRE', stem .. suffix, seconds) end
end

-- Remove what is forgotten at `newest` and let every key live as long as its last interest.
local function forget_and_expire(stem, newest, config)
  local longest, forgotten = lifetime(newest, newest, config.longest, config), {}
  for _, set in ipairs(config.sets) do
    local key, half_life = stem .. set[1], set[2]
    local before = '(' .. string.format('%.0f', newest - FORGOTTEN_HALF_LIVES * half_life)
    local faded = redis.call('ZRANGEBYSCORE', key, '-inf', before)
    if #faded > 0 then redis.call('ZREMRANGEBYSCORE', key, '-inf', before) end
    for _, interest in ipairs(faded) do forgotten[#forgotten + 1] = interest end
    local top = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
    if top then
      local seconds = lifetime(tonumber(top), newest, half_life, config)
      redis.call('EXPIRE', key, seconds)
      longest = math.max(longest, seconds)
    end
  end
  drop_orphans(stem, forgotten, config)
  expire_beside_sets(stem, longest)
end

-- Sum an update's sets into the profile; `count` of them stand in `updates` from `at` on, as library.py describes it.
-- Returns the interests evicted (once for each set), for how many seconds the sets live that are new (0: there are
-- none), and where in `updates` the evidence begins. Each new score is put at the end of `total`, if given.
local function sum_sets(stem, updates, at, count, newest, config, total)
  local evicted, longest, members_at, size = NONE, 0, nil, nil
  for _ = 1, count do
    local set, of_its_own = config.sets[updates[at]], updates[at + 1]
    local key = stem .. set[1]
    at = at + 2
    if of_its_own > 0 then
      members_at, size, at = at, of_its_own, at + of_its_own
    end
    local added, top = sum_into(key, set[2], updates, members_at, at, size, total)
    at = at + size
    if added > 0 then
      local members = redis.call('ZCARD', key)
      if members == added then
        local seconds = lifetime(top, newest, set[2], config)
        redis.call('EXPIRE', key, seconds)
        longest = math.max(longest, seconds)
      end
      if members > config.max_interests then
        if evicted == NONE then evicted = {} end
        local weakest = redis.call('ZPOPMIN', key, members - config.max_interests)
        for i = 1, #weakest, 2 do evicted[#evicted + 1] = weakest[i] end
      end
    end
  end
  return evicted, longest, at
end

-- One user's update, which stands in `updates` from `at` on. Returns how many interests were evicted, or, where
-- changes are asked for, that and the new scores, packed. Where nothing was written, {position, repeated ids, rules'
-- version, rules, ids beyond a cap}.
local function apply_update(stem, log, hour_of_log, updates, at, size, ids, items, from, config)
  if fenced(stem, config) then return { BEYOND_ALL, {}, 0, {}, {} } end
  local first, last, newest_of_update, count, rules_seen, hours, capped_seen, sets, pieces =
    unpack(updates, at, at + FIELDS - 1)
  local call, meta = redis.call, stem .. ':meta'
  local known = call('HMGET', meta, log, hour_of_log, 'newest', 'events', 'rules', 'schema')
  local refusal = check_schema(known[6])
  if refusal then return refusal end

  local position, tally, rules_version = tonumber(known[1]) or -1, tonumber(known[2]) or 0, tonumber(known[5]) or 0
  if not known[5] and not known[4] and call('EXISTS', stem .. ':rules') == 1 then
    rules_version = ruled(stem, config) -- :meta has expired, what the user ruled has not
  end
  local seen, again = '', NONE
  if config.window > 0 then
    seen = call('GET', stem .. ':seen') or ''
    if #seen > 0 then again = repeated(seen, ids, config.window) end
  end
  local is_new, capped, busy = position < first and #again == 0, NONE, nil
  if is_new then capped, tally, busy = cap(stem, log, tally, size, hours, items, from, config) end
  if not is_new or rules_version ~= rules_seen or not same(capped, capped_seen or NONE) then
    local rules = rules_version > 0 and call('HGETALL', stem .. ':rules') or {}
    return { position, again, rules_version, rules, capped }
  end

  local before = tonumber(known[3]) or -1
  local newest = math.max(before, newest_of_update)
  local scores = config.changes and {}
  local evicted, longest, pieces_at = sum_sets(stem, updates, at + FIELDS, sets, newest, config, scores)
  local is_known = pieces == 0 or add_evidence(stem .. ':why', updates, pieces_at, pieces, config.evidence)
  if #evicted > 0 then drop_orphans(stem, evicted, config) end -- behind their evidence, some of which may be new
  if config.window > 0 then remember(stem .. ':seen', seen, ids, config.window) end
  if busy then
    call('HSET', stem .. ':busy', log, busy)
    call('EXPIRE', stem .. ':busy', math.max(math.min(config.grace, config.keep or math.huge), BUSY_SECONDS))
  end
  local events = (tonumber(known[4]) or 0) + count
  call('HSET', meta, log, last, hour_of_log, tally, 'newest', newest, 'events', events)

  if before >= 0 and math.floor(newest / DAY) ~= math.floor(before / DAY) then
    forget_and_expire(stem, newest, config)
  elseif before < 0 or longest > 0 or not is_known then
    local least = lifetime(newest, newest, config.longest, config)
    expire_beside_sets(stem, math.max(least, longest, call('TTL', meta)))
  end
  local period = math.max(DAY, config.evidence_age / 30) -- 2 microseconds a line: not at every day's sweep
  if before >= 0 and math.floor(newest / period) ~= math.floor(before / period) then
    drop_evidence(stem .. ':why', newest - config.evidence_age)
  end
  if not scores then return #evicted end
  return cmsgpack.pack({ #evicted, scores })
end

-- Arguments: the configuration, the log's name, the updates of the users in KEYS one after another, each behind its
-- length and the number of its events, the ids of all their events, and the items of all their events.
local function apply(keys, args)
  local config, log, updates, ids, items = cmsgpack.unpack(args[1]), args[2], cmsgpack.unpack(args[3]), args[4], args[5]
  local replies, at, from, hour_of_log = {}, 1, 0, log .. HOUR_OF_LOG
  for i, stem in ipairs(keys) do
    local length, size = updates[at], updates[at + 1]
    local own_ids = ids:sub(from * ID_BYTES + 1, (from + size) * ID_BYTES)
    replies[i] = apply_update(stem, log, hour_of_log, updates, at + 2, size, own_ids, items, from, config)
    at, from = at + 1 + length, from + size
  end
  return replies
end

local function remove_interest(stem, interest, config)
  local removed = 0
  for _, set in ipairs(config.sets) do removed = removed + redis.call('ZREM', stem .. set[1], interest) end
  return removed
end

local function stance_set(stance)
  return stance == 'dislike' and 'dislike' or 'like'
end

-- Keep only the evidence newer than `cutoff`; sum the interest anew from it when `restore` is set.
local function cut(stem, interest, lines, cutoff, config, restore)
  local kept = {}
  remove_interest(stem, interest, config)
  for line in lines:gmatch('[^\n]+') do
    local piece = cjson.decode(line)
    if piece.at > cutoff then
      kept[#kept + 1] = line
      if restore then
        for name, half_life in pairs(config.horizons) do
          local score = round(piece.at + half_life * math.log(piece.weight) / LN2)
          sum_into(stem .. ':' .. stance_set(piece.stance) .. ':' .. name, half_life, { interest, score }, 1, 2, 1)
        end
      end
    end
  end
  if #kept > 0 then
    redis.call('HSET', stem .. ':why', interest, table.concat(kept, '\n'))
  else
    redis.call('HDEL', stem .. ':why', interest)
  end
  return #kept
end

local function forgotten_before(stem)
  return tonumber(redis.call('HGET', stem .. ':rules', 'forgotten_before')) or -1
end

-- When the interest was muted and unmuted last, -1 for never.
local function mutings(stem, interest)
  local found = redis.call('HMGET', stem .. ':rules', 'mute:' .. interest, 'unmute:' .. interest)
  return tonumber(found[1]) or -1, tonumber(found[2]) or -1
end

local function is_muted(stem, interest)
  local muted, unmuted = mutings(stem, interest)
  return muted >= 0 and muted >= unmuted
end

-- Drop what was ruled up to `at`, and return how much that was.
local function drop_rules(stem, at)
  local rules, dropped = redis.call('HGETALL', stem .. ':rules'), 0
  for i = 1, #rules, 2 do
    if rules[i] ~= 'forgotten_before' and tonumber(rules[i + 1]) <= at then
      dropped = dropped + redis.call('HDEL', stem .. ':rules', rules[i])
    end
  end
  return dropped
end

local function suffixes(config)
  local found = { ':meta', ':why', ':rules', ':seen', ':busy' }
  for _, set in ipairs(config.sets) do found[#found + 1] = set[1] end
  return found
end

local function erase(stem, config)
  for _, suffix in ipairs(suffixes(config)) do redis.call('DEL', stem .. suffix) end
end

-- Erase all that happened up to `at`. What is known to be newer stays. Returns pairs: key, entries removed.
-- Copies of the profile, the further stems in KEYS, go whole: one that is being rebuilt has no writer any more.
-- So do sets of horizons that are kept no more, which the third argument names.
local function forget(keys, args)
  local stem, at, config = keys[1], tonumber(args[1]), cmsgpack.unpack(args[2])
  local former = args[3] and cmsgpack.unpack(args[3]) or NONE
  local refusal = check_schema(redis.call('HGET', stem .. ':meta', 'schema'))
  if refusal then return refusal end
  local receipt = {}
  local function erased(key, entries)
    if entries > 0 then receipt[#receipt + 1], receipt[#receipt + 2] = key, entries end
  end

  local function erase_set(key)
    erased(key, redis.call('ZCARD', key))
    redis.call('DEL', key)
  end

  for _, key in ipairs(keys) do -- whatever the mark says: forgets of before may have passed these over
    for _, suffix in ipairs(former) do erase_set(key .. suffix) end
  end
  -- A command that comes again must not cut what happened since down to the evidence kept of it.
  local mark = forgotten_before(stem)
  if at <= mark then return receipt end
  for i = 2, #keys do
    for _, suffix in ipairs(suffixes(config)) do erased(keys[i] .. suffix, redis.call('DEL', keys[i] .. suffix)) end
  end
  local why = redis.call('HGETALL', stem .. ':why')
  local newest = tonumber(redis.call('HGET', stem .. ':meta', 'newest')) or -1
  for _, set in ipairs(config.sets) do erase_set(stem .. set[1]) end
  erased(stem .. ':why', #why / 2)
  erased(stem .. ':busy', redis.call('HLEN', stem .. ':busy'))
  redis.call('DEL', stem .. ':why', stem .. ':busy')
  erased(stem .. ':rules', drop_rules(stem, at))
  if newest > at then
    for i = 1, #why, 2 do cut(stem, why[i], why[i + 1], at, config, not is_muted(stem, why[i])) end
    forget_and_expire(stem, newest, config)
  else
    redis.call('HDEL', stem .. ':meta', 'newest', 'events')
  end
  redis.call('HSET', stem .. ':rules', 'forgotten_before', at)
  ruled(stem, config)
  return receipt
end

-- Pin, unpin, mute or unmute an interest as of `at`. The newest ruling of each kind stands. Returns 1 if it is news.
local function rule(keys, args)
  local stem, kind, interest, at, config = keys[1], args[1], args[2], tonumber(args[3]), cmsgpack.unpack(args[4])
  if fenced(stem, config) then return 0 end
  local field = kind .. ':' .. interest
  local before = tonumber(redis.call('HGET', stem .. ':rules', field)) or -1
  if at <= before or at <= forgotten_before(stem) then return 0 end
  redis.call('HSET', stem .. ':rules', field, at)
  ruled(stem, config)
  local muted, unmuted = mutings(stem, interest)
  local lines = redis.call('HGET', stem .. ':why', interest) or ''
  if kind == 'mute' or kind == 'unmute' and unmuted > muted and muted >= 0 then
    cut(stem, interest, lines, math.max(muted, unmuted), config, unmuted > muted)
    local newest = tonumber(redis.call('HGET', stem .. ':meta', 'newest') or nil)
    if newest then forget_and_expire(stem, newest, config) end
  end
  return 1
end

-- Take out again what one event or, with `ref` "item:ID", one item's events up to `at` contributed. Returns the
-- interests touched.
local function retract(keys, args)
  local stem, ref, at, config = keys[1], args[1], tonumber(args[2]), cmsgpack.unpack(args[3])
  if fenced(stem, config) then return {} end
  local item = ref:match('^item:(.*)$')
  local before = tonumber(redis.call('HGET', stem .. ':rules', 'retract:' .. ref)) or -1
  if at <= before or at <= forgotten_before(stem) then return {} end
  redis.call('HSET', stem .. ':rules', 'retract:' .. ref, at)
  ruled(stem, config)
  local touched = {}
  local why = redis.call('HGETALL', stem .. ':why')
  for i = 1, #why, 2 do
    local interest, kept, found = why[i], {}, false
    for line in why[i + 1]:gmatch('[^\n]+') do
      local piece = cjson.decode(line)
      if piece.event == ref or (item and piece.target == item and piece.at <= at) then
        found = true
        for name, half_life in pairs(config.horizons) do
          local key = stem .. ':' .. stance_set(piece.stance) .. ':' .. name
          local score = tonumber(redis.call('ZSCORE', key, interest) or nil)
          if score then
            local share = 2 ^ ((piece.at + half_life * math.log(piece.weight) / LN2 - score) / half_life)
            if share > 1 - 1e-9 then
              redis.call('ZREM', key, interest)
            else
              redis.call('ZADD', key, round(score + half_life * math.log(1 - share) / LN2), interest)
            end
          end
        end
      else
        kept[#kept + 1] = line
      end
    end
    if found then
      touched[#touched + 1] = interest
      if #kept > 0 then
        redis.call('HSET', stem .. ':why', interest, table.concat(kept, '\n'))
      else
        redis.call('HDEL', stem .. ':why', interest)
      end
    end
  end
  return touched
end

-- Copies: a profile beside the live one, filled by one writer, `run`. Whoever holds another run is fenced off.

-- Start the copy in KEYS[2] of the profile in KEYS[1]: empty but for what survives a replay, the rules. It goes by
-- itself after `seconds`. Returns the fields of the live profile's meta.
local function start_copy(keys, args)
  local live, copy, run, seconds, config = keys[1], keys[2], args[1], args[2], cmsgpack.unpack(args[3])
  local refusal = check_schema(redis.call('HGET', live .. ':meta', 'schema'))
  if refusal then return refusal end
  erase(copy, config)
  local copied = redis.call('COPY', live .. ':rules', copy .. ':rules') -- 1 where there are some
  local version = redis.call('HGET', live .. ':meta', 'rules') or copied
  redis.call('HSET', copy .. ':meta', 'run', run, 'rules', version)
  for _, suffix in ipairs({ ':meta', ':rules' }) do redis.call('EXPIRE', copy .. suffix, seconds) end
  return redis.call('HGETALL', live .. ':meta')
end

-- Take over a copy that is there. Returns the fields of its meta, none where there is no copy.
local function claim_copy(keys, args)
  local meta = keys[1] .. ':meta'
  if redis.call('EXISTS', meta) == 0 then return {} end
  redis.call('HSET', meta, 'run', args[1])
  return redis.call('HGETALL', meta)
end

local function drop_copy(keys, args)
  local copy, run, config = keys[1], args[1], cmsgpack.unpack(args[2])
  if redis.call('HGET', copy .. ':meta', 'run') == run then erase(copy, config) end
end

-- A log and its partition: where it was read to. Beside it, with HOUR_OF_LOG, how busy the user was in it.
local function is_position(field)
  return field:find('/', 1, true) and field:sub(-#HOUR_OF_LOG) ~= HOUR_OF_LOG
end

local function same_hash(one, other)
  if redis.call('HLEN', one) ~= redis.call('HLEN', other) then return false end
  local fields = redis.call('HGETALL', one)
  for i = 1, #fields, 2 do
    if redis.call('HGET', other, fields[i]) ~= fields[i + 1] then return false end
  end
  return true
end

-- Let the copy in KEYS[2] take the place of the profile in KEYS[1], which takes that in KEYS[3] and goes by itself
-- after `seconds`; KEYS[2] and KEYS[3] may be the same. `ends` says up to where the copy's writer has read each log.
-- Returns nothing, or, unchanged, why not: 'gone', 'rules' (those differ), 'behind' (the live profile knows more).
local function switch(keys, args)
  local live, copy, before = keys[1], keys[2], keys[3]
  local run, seconds, ends, config = args[1], args[2], cmsgpack.unpack(args[3]), cmsgpack.unpack(args[4])
  local call = redis.call
  if call('HGET', copy .. ':meta', 'run') ~= run then return 'gone' end
  if not same_hash(live .. ':rules', copy .. ':rules') then return 'rules' end
  local ahead, fields = {}, call('HGETALL', live .. ':meta')
  for i = 1, #fields, 2 do
    local log, position = fields[i], tonumber(fields[i + 1])
    if is_position(log) and position > (tonumber(call('HGET', copy .. ':meta', log) or nil) or -1) then
      if position >= (ends[log] or 0) then return 'behind' end
      ahead[#ahead + 1], ahead[#ahead + 2] = log, fields[i + 1] -- read by the copy's writer too, and rejected
    end
  end
  if call('EXISTS', live .. ':meta') == 0 and call('HEXISTS', copy .. ':meta', 'newest') == 0 then
    return erase(copy, config) -- nobody's profile takes no place
  end
  if #ahead > 0 then call('HSET', copy .. ':meta', unpack(ahead)) end
  call('HSET', copy .. ':meta', 'rules', call('HGET', live .. ':meta', 'rules') or call('EXISTS', live .. ':rules'))
  call('HDEL', copy .. ':meta', 'run', 'switch')

  for _, suffix in ipairs(suffixes(config)) do
    local from, aside, to = live .. suffix, before .. suffix .. ':aside', before .. suffix
    if call('EXISTS', from) == 1 then call('RENAME', from, aside) end
    if call('EXISTS', copy .. suffix) == 1 then call('RENAME', copy .. suffix, from) end
    call('DEL', to)
    if call('EXISTS', aside) == 1 then
      call('RENAME', aside, to)
      call('EXPIRE', to, seconds, 'LT')
    end
  end
  if call('EXISTS', before .. ':meta') == 1 then call('HSET', before .. ':meta', 'switch', run) end
  for _, suffix in ipairs({ ':meta', ':rules' }) do call('PERSIST', live .. suffix) end
  local newest = tonumber(call('HGET', live .. ':meta', 'newest') or nil)
  if newest then forget_and_expire(live, newest, config) end
end

redis.register_function('penchant_apply', apply)
redis.register_function('penchant_forget', forget)
redis.register_function('penchant_rule', rule)
redis.register_function('penchant_retract', retract)
redis.register_function('penchant_start_copy', start_copy)
redis.register_function('penchant_claim_copy', claim_copy)
redis.register_function('penchant_drop_copy', drop_copy)
redis.register_function('penchant_switch', switch)
