-- Limits of names, counted together by all gateways that use this Redis. Each call is one atomic step.
--
-- KEYS: the place of each name. Below it lie
--   :r  sorted set, requests of the last minute: id by time
--   :t  sorted set, tokens of the last minute: "id:tokens" by time; :s their sum
--   :p  sorted set, requests under way: id by the time until which their gateway answers for them
--   :e  hash, what each request under way was expected to take: id to "minute's tokens,budget's tokens,period's start"
--   :b  hash, the budget's period: start, used (with what is held), held
--   :n  the time of the next turn
-- Times are microseconds of this server's clock, so that gateways need not agree about theirs.

local MINUTE, DAY_S, DAY_MS = 60000000, 86400, 86400000
local NONE = -1

local clock = redis.call('TIME')
local seconds = tonumber(clock[1])
local now = seconds * 1000000 + tonumber(clock[2])

local function find_span(period)
  local day = math.floor(seconds / DAY_S)
  if period == 'day' then return day * DAY_S, (day + 1) * DAY_S end
  -- Days since 1970 to a date, in eras of 400 years that begin in March.
  local shifted = day + 719468
  local day_of_era = shifted % 146097
  local year = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * day_of_year + 2) / 153)
  local first = math.floor((153 * month + 2) / 5)
  -- March, May, July, August, October, December and January have 31 days; February is the last and ends the era's year.
  local lengths = {31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31}
  local length = lengths[month + 1]
  if not length then
    local following = year + 1
    local is_leap = following % 4 == 0 and (following % 100 ~= 0 or following % 400 == 0)
    length = is_leap and 29 or 28
  end
  local start = day - (day_of_year - first)
  return start * DAY_S, (start + length) * DAY_S
end

local function read_amount(member) return tonumber(string.match(member, ':(%d+)$')) end

-- The tokens of the last minute, those before it forgotten.
local function count_tokens(place)
  local total = tonumber(redis.call('GET', place .. ':s') or 0)
  local old = redis.call('ZRANGEBYSCORE', place .. ':t', '-inf', now - MINUTE)
  for _, member in ipairs(old) do total = total - read_amount(member) end
  if #old > 0 then
    redis.call('ZREMRANGEBYSCORE', place .. ':t', '-inf', now - MINUTE)
    redis.call('SET', place .. ':s', total, 'KEEPTTL')
  end
  return total
end

local function add_tokens(place, id, amount, when)
  redis.call('ZADD', place .. ':t', when, id .. ':' .. amount)
  redis.call('INCRBY', place .. ':s', amount)
  redis.call('PEXPIRE', place .. ':t', DAY_MS)
  redis.call('PEXPIRE', place .. ':s', DAY_MS)
end

-- What was looked up for a name already in this step is not looked up again.
local function once(it, what, find)
  if it[what] == nil then it[what] = find(it.place) end
  return it[what]
end

local function count_requests(place)
  redis.call('ZREMRANGEBYSCORE', place .. ':r', '-inf', now - MINUTE)
  return redis.call('ZCARD', place .. ':r')
end

local function count_running(place) return redis.call('ZCOUNT', place .. ':p', string.format('(%.0f', now), '+inf') end

local function find_score(key, first, last)
  local found = redis.call('ZRANGE', key, first, last, 'WITHSCORES')
  return tonumber(found[2])
end

-- Microseconds until an amount fits.
local function wait_for_tokens(place, total, limit, amount)
  if amount > limit then return NONE end
  local excess, at = total + amount - limit, 0
  while excess > 0 do
    local found = redis.call('ZRANGE', place .. ':t', at, at + 99, 'WITHSCORES')
    if #found == 0 then return 1000 end
    for i = 1, #found, 2 do
      excess = excess - read_amount(found[i])
      if excess <= 0 then return math.max(tonumber(found[i + 1]) + MINUTE - now, 1000) end
    end
    at = at + 100
  end
  return 0
end

-- Microseconds until no token is counted; what was settled with none does not count.
local function find_reset(place)
  local at = 0
  while true do
    local found = redis.call('ZREVRANGE', place .. ':t', at, at + 9, 'WITHSCORES')
    if #found == 0 then return 0 end
    for i = 1, #found, 2 do
      if read_amount(found[i]) > 0 then return math.max(tonumber(found[i + 1]) + MINUTE - now, 0) end
    end
    at = at + 10
  end
end

local function find_least(limit, prompt, answer, is_bounded)
  if is_bounded and prompt + answer <= limit then return prompt + answer end
  return prompt + math.min(answer, 1)
end

-- How the limits of a name stand: left and microseconds until all is there again, of requests, tokens and budget.
local function describe(it)
  local found = {NONE, NONE, NONE, NONE, NONE, NONE}
  if it.rpm ~= NONE then
    found[1] = math.max(it.rpm - once(it, 'requests', count_requests), 0)
    local newest = it.newest or find_score(it.place .. ':r', -1, -1)
    found[2] = newest and math.max(newest + MINUTE - now, 0) or 0
  end
  if it.tpm ~= NONE then
    found[3] = math.max(it.tpm - once(it, 'tokens', count_tokens), 0)
    found[4] = it.tokens_reset or find_reset(it.place)
  end
  if it.budget ~= NONE then
    found[5] = math.max(it.budget - it.used, 0)
    found[6] = it.stop * 1000000 - now
  end
  return found
end

local function find_budget(it, base)
  it.start, it.stop = find_span(it.period)
  local kept = redis.call('HMGET', it.place .. ':b', 'start', 'used', 'held')
  if tonumber(kept[1]) ~= it.start then
    if base == NONE then return false end
    redis.call('HSET', it.place .. ':b', 'start', it.start, 'used', base, 'held', 0)
    kept = {it.start, base, 0}
  end
  it.used, it.held = tonumber(kept[2]), tonumber(kept[3])
  if base > it.used - it.held then  -- the records of all gateways know of more
    it.used = base + it.held
    redis.call('HSET', it.place .. ':b', 'used', it.used)
  end
  redis.call('PEXPIRE', it.place .. ':b', (it.stop - seconds) * 1000 + DAY_MS)
  return true
end

local function list_over(it, cost, mean)
  local over = {}
  local running = it.parallel ~= NONE and count_running(it.place) or 0
  local estimate = math.min(60000000, math.max(1000000, math.floor(mean / math.max(running, 1))))
  if it.parallel ~= NONE and running >= it.parallel then over[#over + 1] = {3, estimate, 1, 0} end
  if it.rpm ~= NONE then
    local excess = once(it, 'requests', count_requests) + 1 - it.rpm
    if excess > 0 then
      local wait = math.max(find_score(it.place .. ':r', excess - 1, excess - 1) + MINUTE - now, 1000)
      over[#over + 1] = {1, wait, 1, 0}
    end
  end
  if it.tpm ~= NONE and cost.prompt > 0 then
    local least = find_least(it.tpm, cost.prompt, cost.answer, cost.is_bounded)
    local total = once(it, 'tokens', count_tokens)
    local wait = wait_for_tokens(it.place, total, it.tpm, least)
    if wait ~= 0 then over[#over + 1] = {2, wait, least, math.max(it.tpm - total, 0)} end
  end
  if it.budget ~= NONE and cost.prompt > 0 then
    local least, left = find_least(it.budget, cost.prompt, cost.answer, cost.is_bounded), math.max(it.budget - it.used, 0)
    local rest = it.stop * 1000000 - now
    if least > it.budget then
      over[#over + 1] = {4, NONE, least, left}
    elseif least > left then
      -- What requests under way hold may come back when they end; nothing else comes before the next period.
      local wait = it.used - it.held + least > it.budget and rest or math.min(estimate, rest)
      over[#over + 1] = {4, wait, least, left}
    end
  end
  return over
end

local function count(it, id, lease, cost)
  local tokens, held, wanted = NONE, NONE, cost.prompt + cost.answer
  if it.rpm ~= NONE then
    redis.call('ZADD', it.place .. ':r', now, id)
    redis.call('PEXPIRE', it.place .. ':r', DAY_MS)
    it.requests, it.newest = it.requests + 1, now
  end
  if it.tpm ~= NONE and cost.prompt > 0 then
    tokens = math.max(math.min(wanted, it.tpm - it.tokens), 0)
    add_tokens(it.place, id, tokens, now)
    it.tokens = it.tokens + tokens
    if tokens > 0 then it.tokens_reset = MINUTE end
  end
  if it.budget ~= NONE and cost.prompt > 0 then
    held = math.min(wanted, math.max(it.budget - it.used, 0))
    it.used, it.held = it.used + held, it.held + held
    redis.call('HSET', it.place .. ':b', 'used', it.used, 'held', it.held)
  end
  if it.parallel ~= NONE then
    redis.call('ZADD', it.place .. ':p', now + lease, id)
    redis.call('ZREMRANGEBYSCORE', it.place .. ':p', '-inf', now - DAY_S * 1000000)
    redis.call('PEXPIRE', it.place .. ':p', DAY_MS)
  end
  if tokens ~= NONE or held ~= NONE then
    redis.call('HSET', it.place .. ':e', id, tokens .. ',' .. held .. ',' .. (it.start or NONE))
    redis.call('PEXPIRE', it.place .. ':e', DAY_MS)
  end
end

local function read_names(first)
  local names = {}
  for i, place in ipairs(KEYS) do
    local at = first + (i - 1) * 5
    names[i] = {
      place = place, rpm = tonumber(ARGV[at]), tpm = tonumber(ARGV[at + 1]), parallel = tonumber(ARGV[at + 2]),
      budget = tonumber(ARGV[at + 3]), period = ARGV[at + 4],
    }
  end
  return names
end

local act = {}

-- id, lease, mean, base, prompt, answer, is bounded, then rpm, tpm, parallel, budget, period of each name.
-- {0, standing of the first name ...}, or {1, name, limit, wait, least, left, its standing ...}, or {2, start, end}
function act.enter()
  local id, lease, mean, base = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local cost = {prompt = tonumber(ARGV[6]), answer = tonumber(ARGV[7]), is_bounded = ARGV[8] == '1'}
  local names, worst, worst_of = read_names(9), nil, nil
  for i, it in ipairs(names) do
    if it.budget == NONE then
      redis.call('DEL', it.place .. ':b')  -- nothing is counted now, so that a later budget needs a base of its own
    elseif not find_budget(it, base) then
      return {2, it.start, it.stop}
    end
    for _, over in ipairs(list_over(it, cost, mean)) do
      local is_longer = not worst or (worst[2] ~= NONE and (over[2] == NONE or over[2] > worst[2]))
      if is_longer then worst, worst_of = over, i end
    end
  end
  if worst then
    local reply = {1, worst_of - 1, worst[1], worst[2], worst[3], worst[4]}
    for _, value in ipairs(describe(names[worst_of])) do reply[#reply + 1] = value end
    return reply
  end
  for _, it in ipairs(names) do count(it, id, lease, cost) end
  local reply = {0}
  for _, value in ipairs(describe(names[1])) do reply[#reply + 1] = value end
  return reply
end

-- id and what the request really took, -1 to leave what was expected; for every name.
function act.leave()
  local id, took = ARGV[2], tonumber(ARGV[3])
  for _, place in ipairs(KEYS) do
    redis.call('ZREM', place .. ':p', id)
    local kept = redis.call('HGET', place .. ':e', id)
    if kept then
      redis.call('HDEL', place .. ':e', id)
      local tokens, held, start = string.match(kept, '^(-?%d+),(-?%d+),(-?%d+)$')
      tokens, held = tonumber(tokens), tonumber(held)
      if tokens ~= NONE and took ~= NONE then
        local total, member = count_tokens(place), id .. ':' .. tokens
        local when = redis.call('ZSCORE', place .. ':t', member)
        if took > tokens then
          -- From now on, so that an answer that took longer than a minute is not forgotten with its beginning.
          add_tokens(place, id .. '+', took - tokens, now)
        elseif when then
          redis.call('ZREM', place .. ':t', member)
          redis.call('ZADD', place .. ':t', when, id .. ':' .. took)
          redis.call('SET', place .. ':s', total + took - tokens, 'KEEPTTL')
        end
      end
      if held ~= NONE and redis.call('HGET', place .. ':b', 'start') == start then
        redis.call('HINCRBY', place .. ':b', 'held', -held)
        if took ~= NONE then redis.call('HINCRBY', place .. ':b', 'used', took - held) end
      end
    end
  end
  return 1
end

-- Tokens of a budget that were used while this server was away, and the start of its period, which may be over.
function act.owe()
  local budget = KEYS[1] .. ':b'
  if redis.call('HGET', budget, 'start') == ARGV[3] then redis.call('HINCRBY', budget, 'used', ARGV[2]) end
  return 1
end

-- The lease, then the id of each name's request: its gateway still answers for it.
function act.renew()
  for i, place in ipairs(KEYS) do
    redis.call('ZADD', place .. ':p', now + tonumber(ARGV[2]), ARGV[i + 2])
    redis.call('PEXPIRE', place .. ':p', DAY_MS)
  end
  return 1
end

-- Interval and longest wait; the wait until the next turn, which is taken if it is not too long.
function act.turn()
  local turn = math.max(now, tonumber(redis.call('GET', KEYS[1] .. ':n') or now))
  if turn - now <= tonumber(ARGV[3]) then
    local next_turn = turn + tonumber(ARGV[2])
    redis.call('SET', KEYS[1] .. ':n', string.format('%.0f', next_turn), 'PX', math.ceil((next_turn - now) / 1000))
  end
  return turn - now
end

-- What is taken by each name now: requests, tokens, under way, budget.
function act.look()
  local reply = {}
  for _, place in ipairs(KEYS) do
    reply[#reply + 1] = count_requests(place)
    reply[#reply + 1] = count_tokens(place)
    reply[#reply + 1] = count_running(place)
    reply[#reply + 1] = tonumber(redis.call('HGET', place .. ':b', 'used') or 0)
  end
  return reply
end

return act[ARGV[1]]()
