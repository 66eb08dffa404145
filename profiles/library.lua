#!lua name=penchant

-- All writes to profiles, format version 1. profiles/library.py is the typed face of this file and says what goes
-- in and out; profiles/decay.py holds the same algebra. Instants and half-lives are microseconds; none is read
-- from a clock. Every key is derived from the user's stem (KEYS), which fixes the hash slot.

local SCHEMA = 1
local FORGOTTEN_HALF_LIVES = 30
local HOUR = 3600 * 1000000
local DAY = 24 * HOUR
local ID_BYTES = 8
local ITEM_BYTES = 4
local NO_ITEM = '\0\0\0\0'
local TALLY = 1000000
local HOUR_OF_LOG = ':hour'
local NONE = {}
local CHUNK = 1000 -- most arguments handed to one command; Lua's stack holds some thousands
local BEYOND_ALL = 2 ^ 53 -- a position after any offset
local STANCES = { 'like', 'dislike' }
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

-- The positions (from 1) in `ids` of events that are among the last `window` that the user's profile has seen.
local function repeated(seen, ids, window)
  local found = {}
  local known = #seen / ID_BYTES
  for i = 0, #ids / ID_BYTES - 1 do
    local id = ids:sub(i * ID_BYTES + 1, (i + 1) * ID_BYTES)
    local at = seen:find(id, 1, true)
    while at do
      local index = (at - 1) / ID_BYTES
      if index % 1 == 0 and known + i - index <= window then
        found[#found + 1] = i + 1
        break
      end
      at = seen:find(id, at + 1, true)
    end
  end
  return found
end

local function remember(key, seen, ids, window)
  local kept = #seen + #ids
  if kept > window * ID_BYTES * 1.25 then
    redis.call('SET', key, (seen .. ids):sub(-window * ID_BYTES), 'KEEPTTL')
  else
    redis.call('APPEND', key, ids)
  end
end

-- Sum `scores` into the set. Returns the new scores and how many members are new.
local function sum_into(key, half_life, members, scores)
  local call, log, floor, max, abs = redis.call, math.log, math.floor, math.max, math.abs
  local per_octave = half_life / LN2
  local total, added = {}, 0
  for from = 1, #members, CHUNK do
    local to = math.min(from + CHUNK - 1, #members)
    local old = call('ZMSCORE', key, unpack(members, from, to))
    local pairs_, n = {}, 0
    for i = from, to do
      local score, before = scores[i], tonumber(old[i - from + 1] or nil)
      if before then -- the merge of decay.py
        score = floor(max(score, before) + per_octave * log(1 + 2 ^ (-abs(score - before) / half_life)) + 0.5)
      end
      total[i], pairs_[n + 1], pairs_[n + 2], n = score, score, members[i], n + 2
    end
    added = added + call('ZADD', key, unpack(pairs_, 1, n))
  end
  return total, added
end

local function add_evidence(key, evidence, limit)
  local names = {}
  for i = 1, #evidence, 2 do names[#names + 1] = evidence[i] end
  for from = 1, #names, CHUNK do
    local to = math.min(from + CHUNK - 1, #names)
    local old = redis.call('HMGET', key, unpack(names, from, to))
    local fields = {}
    for i = from, to do
      local lines = evidence[i * 2]
      if old[i - from + 1] then lines = lines .. '\n' .. old[i - from + 1] end
      local cut = 0
      for _ = 1, limit do
        cut = lines:find('\n', cut + 1, true)
        if not cut then break end
      end
      if cut then lines = lines:sub(1, cut - 1) end
      fields[#fields + 1], fields[#fields + 2] = names[i], lines
    end
    redis.call('HSET', key, unpack(fields))
  end
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

-- Remove what is forgotten at `newest` and let every key live until its last interest will be, plus the grace.
local function forget_and_expire(stem, newest, config)
  local longest = 0
  for _, stance in ipairs(STANCES) do
    for name, half_life in pairs(config.horizons) do
      local key = stem .. ':' .. stance .. ':' .. name
      redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. string.format('%.0f', newest - FORGOTTEN_HALF_LIVES * half_life))
      local top = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
      if top then
        local left = math.max(tonumber(top) - newest, 0) + FORGOTTEN_HALF_LIVES * half_life
        local seconds = math.ceil(left / 1000000) + config.grace
        redis.call('EXPIRE', key, seconds)
        longest = math.max(longest, seconds)
      end
    end
  end
  if longest > 0 then
    for _, suffix in ipairs({ ':meta', ':why', ':seen' }) do redis.call('EXPIRE', stem .. suffix, longest) end
  end
end

-- One user's update. Returns {1, evicted, new scores ...} or, unwritten, {0, position, repeated ids, rules' version,
-- rules, ids beyond a cap}.
local function apply_update(stem, log, hour_of_log, update, ids, items, from, config)
  if fenced(stem, config) then return { 0, BEYOND_ALL, {}, 0, {}, {} } end
  local first, last, newest_of_update, count, rules_seen, size, hours, capped_seen, sets, evidence = unpack(update, 1, 10)
  local call, meta = redis.call, stem .. ':meta'
  local known = call('HMGET', meta, log, 'newest', 'events', 'rules', 'schema', hour_of_log)
  local refusal = check_schema(known[5])
  if refusal then return refusal end

  local position, rules_version, tally = tonumber(known[1]) or -1, tonumber(known[4]) or 0, tonumber(known[6]) or 0
  local seen, again = '', {}
  if config.window > 0 then
    seen = call('GET', stem .. ':seen') or ''
    if #seen > 0 then again = repeated(seen, ids, config.window) end
  end
  local is_new, capped, busy = position < first and #again == 0, NONE, nil
  if is_new then capped, tally, busy = cap(stem, log, tally, size, hours, items, from, config) end
  if not is_new or rules_version ~= rules_seen or not same(capped, capped_seen or NONE) then
    local rules = rules_version > 0 and call('HGETALL', stem .. ':rules') or {}
    return { 0, position, again, rules_version, rules, capped }
  end

  local before = tonumber(known[2]) or -1
  local newest = math.max(before, newest_of_update)
  local sweep = math.floor(newest / HOUR) ~= math.floor(before / HOUR)
  local reply, evicted = { 1, 0 }, 0
  for _, set in ipairs(sets) do
    local key = stem .. ':' .. set[1]
    local scores, added = sum_into(key, set[2], set[3], set[4])
    if config.changes then
      for _, score in ipairs(scores) do reply[#reply + 1] = string.format('%.0f', score) end
    end
    if added > 0 then
      local members = call('ZCARD', key)
      sweep = sweep or members == added
      if members > config.max_interests then
        evicted = evicted + call('ZREMRANGEBYRANK', key, 0, members - config.max_interests - 1)
      end
    end
  end
  if #evidence > 0 then add_evidence(stem .. ':why', evidence, config.evidence) end
  if config.window > 0 then remember(stem .. ':seen', seen, ids, config.window) end
  local events = (tonumber(known[3]) or 0) + count
  if busy then
    call('HSET', stem .. ':busy', log, busy)
    call('EXPIRE', stem .. ':busy', config.grace) -- far beyond its hour
  end
  call('HSET', meta, log, last, hour_of_log, tally, 'newest', newest, 'events', events)
  if tonumber(known[5] or nil) ~= SCHEMA then call('HSET', meta, 'schema', SCHEMA) end
  if sweep then forget_and_expire(stem, newest, config) end
  local period = math.max(DAY, config.evidence_age / 30) -- 2 microseconds a line: not at every hour's sweep
  if before >= 0 and math.floor(newest / period) ~= math.floor(before / period) then
    drop_evidence(stem .. ':why', newest - config.evidence_age)
  end
  reply[2] = evicted
  return reply
end

-- Arguments: the configuration, the log's name, one update for each user in KEYS, the ids of all their events, and
-- the items of all their events.
local function apply(keys, args)
  local config, log, updates, ids, items = cmsgpack.unpack(args[1]), args[2], cmsgpack.unpack(args[3]), args[4], args[5]
  local replies, from, hour_of_log = {}, 0, log .. HOUR_OF_LOG
  for i, stem in ipairs(keys) do
    local update = updates[i]
    local to = from + update[6]
    local own_ids = ids:sub(from * ID_BYTES + 1, to * ID_BYTES)
    replies[i] = apply_update(stem, log, hour_of_log, update, own_ids, items, from, config)
    from = to
  end
  return replies
end

local function remove_interest(stem, interest, config)
  local removed = 0
  for _, stance in ipairs(STANCES) do
    for name in pairs(config.horizons) do
      removed = removed + redis.call('ZREM', stem .. ':' .. stance .. ':' .. name, interest)
    end
  end
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
          sum_into(stem .. ':' .. stance_set(piece.stance) .. ':' .. name, half_life, { interest }, { score })
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

local function ruled(stem)
  redis.call('HINCRBY', stem .. ':meta', 'rules', 1)
  redis.call('HSET', stem .. ':meta', 'schema', SCHEMA)
end

local function suffixes(config)
  local found = { ':meta', ':why', ':rules', ':seen', ':busy' }
  for _, stance in ipairs(STANCES) do
    for name in pairs(config.horizons) do found[#found + 1] = ':' .. stance .. ':' .. name end
  end
  return found
end

local function erase(stem, config)
  for _, suffix in ipairs(suffixes(config)) do redis.call('DEL', stem .. suffix) end
end

-- Erase all that happened up to `at`. What is known to be newer stays. Returns pairs: key, entries removed.
-- Copies of the profile, the further stems in KEYS, go whole: one that is being rebuilt has no writer any more.
local function forget(keys, args)
  local stem, at, config = keys[1], tonumber(args[1]), cmsgpack.unpack(args[2])
  local refusal = check_schema(redis.call('HGET', stem .. ':meta', 'schema'))
  if refusal then return refusal end
  local receipt = {}
  local function erased(key, entries)
    if entries > 0 then receipt[#receipt + 1], receipt[#receipt + 2] = key, entries end
  end

  -- A command that comes again must not cut what happened since down to the evidence kept of it.
  local mark = forgotten_before(stem)
  if at <= mark then return receipt end
  for i = 2, #keys do
    for _, suffix in ipairs(suffixes(config)) do erased(keys[i] .. suffix, redis.call('DEL', keys[i] .. suffix)) end
  end
  local why = redis.call('HGETALL', stem .. ':why')
  local newest = tonumber(redis.call('HGET', stem .. ':meta', 'newest')) or -1
  for _, stance in ipairs(STANCES) do
    for name in pairs(config.horizons) do
      local key = stem .. ':' .. stance .. ':' .. name
      erased(key, redis.call('ZCARD', key))
      redis.call('DEL', key)
    end
  end
  erased(stem .. ':why', #why / 2)
  erased(stem .. ':busy', redis.call('HLEN', stem .. ':busy'))
  redis.call('DEL', stem .. ':why', stem .. ':busy')
  if newest > at then
    for i = 1, #why, 2 do cut(stem, why[i], why[i + 1], at, config, true) end
    forget_and_expire(stem, newest, config)
  else
    redis.call('HDEL', stem .. ':meta', 'newest', 'events')
  end

  erased(stem .. ':rules', redis.call('HLEN', stem .. ':rules') - (mark >= 0 and 1 or 0))
  redis.call('DEL', stem .. ':rules')
  redis.call('HSET', stem .. ':rules', 'forgotten_before', at)
  ruled(stem)
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
  ruled(stem)
  local muted = tonumber(redis.call('HGET', stem .. ':rules', 'mute:' .. interest)) or -1
  local unmuted = tonumber(redis.call('HGET', stem .. ':rules', 'unmute:' .. interest)) or -1
  local lines = redis.call('HGET', stem .. ':why', interest) or ''
  if kind == 'mute' or kind == 'unmute' and unmuted > muted and muted >= 0 then
    cut(stem, interest, lines, math.max(muted, unmuted), config, unmuted > muted)
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
  ruled(stem)
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
  redis.call('COPY', live .. ':rules', copy .. ':rules')
  local version = redis.call('HGET', live .. ':meta', 'rules') or 0
  redis.call('HSET', copy .. ':meta', 'run', run, 'rules', version, 'schema', SCHEMA)
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
  call('HSET', copy .. ':meta', 'rules', call('HGET', live .. ':meta', 'rules') or 0)
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
