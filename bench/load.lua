-- The script that wrk runs. It generates the requests, and prints one line of JSON at the end. The arguments after `--`
-- are name=value:
--
--   workload   get      GET `path`
--              product  GET a random one of the `products`
--              order    POST an order for one piece of a random product, by a random customer of `tokens`
--              mixed    nine `product` for each `order`
--              login    POST a sign-in with a random e-mail address of `accounts` and `password`. After a refusal it waits as long as
--                       `Retry-After` says
--   path       of `get`
--   token      an access token for `get`; optional
--   products   the number of products
--   prefix     the prefix of a product's id, before six hex digits that count from 0
--   tokens     a file with one access token a line
--   accounts   a file with one e-mail address a line
--   run        the prefix of this run's idempotency keys; unique to the run
--   seed       the seed of this run's random numbers

local options = {}
local sent = 0
local threads = {}

-- Global, so that `done` can read it from each thread.
statuses = {}

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

local function random_element(list)
  return list[math.random(#list)]
end

local function random_product_id()
  return options.prefix .. string.format('%06x', math.random(0, options.products - 1))
end

-- Formats the request once, and inserts only the id. wrk shares the cores with the program, so it must use little CPU time.
local function product_request()
  local before, after = wrk.format('GET', '/products/@'):match('^(.-)@(.*)$')
  return function()
    return before .. random_product_id() .. after
  end
end

local function order_request()
  local tokens = lines_of(options.tokens)
  return function()
    sent = sent + 1
    local headers = {
      ['Content-Type'] = 'application/json',
      ['Authorization'] = 'Bearer ' .. random_element(tokens),
      ['Idempotency-Key'] = string.format('%s-%d-%d', options.run, number, sent),
    }
    local body = '{"productList":[{"productId":"' .. random_product_id() .. '","quantity":1}]}'
    return wrk.format('POST', '/orders/create_order', headers, body)
  end
end

local function login_request()
  local accounts = lines_of(options.accounts)
  local headers = { ['Content-Type'] = 'application/json' }
  return function()
    local body = string.format('{"email":"%s","password":"%s"}', random_element(accounts), options.password)
    return wrk.format('POST', '/login', headers, body)
  end
end

local function get_request()
  local headers = {}
  if options.token then
    headers['Authorization'] = 'Bearer ' .. options.token
  end
  local request_text = wrk.format('GET', options.path, headers)
  return function()
    return request_text
  end
end

local function mixed_request()
  local read, order = product_request(), order_request()
  return function()
    if math.random(10) == 1 then
      return order()
    end
    return read()
  end
end

local request_factories = {
  get = get_request,
  product = product_request,
  order = order_request,
  mixed = mixed_request,
  login = login_request,
}

-- wrk copies each response that a script inspects. For a workload of reads, wrk's own count of statuses above 399 is
-- enough, because every response must succeed.
local function count_status(status)
  statuses[status] = (statuses[status] or 0) + 1
end

local pauses = 0
local pause_ms = 0

-- A refused client waits as long as `Retry-After` says before its next request, as clients should. wrk does not say which connection it
-- asks `delay` for, so that another one may wait instead.
local function count_status_and_pause(status, headers)
  count_status(status)
  -- wrk does not change the case of a name.
  local retry_after = headers['retry-after']
  if retry_after then
    pauses = pauses + 1
    pause_ms = 1000 * tonumber(retry_after)
  end
end

local function pause()
  if pauses == 0 then
    return 0
  end
  pauses = pauses - 1
  return pause_ms
end

function setup(thread)
  threads[#threads + 1] = thread
  thread:set('number', #threads)
end

function init(arguments)
  for _, argument in ipairs(arguments) do
    local name, value = argument:match('^(.-)=(.*)$')
    options[name] = value
  end
  -- Each thread has its own random numbers.
  math.randomseed(options.seed + number)
  request = request_factories[options.workload]()
  if options.workload == 'login' then
    response = count_status_and_pause
    delay = pause
  elseif options.workload == 'order' or options.workload == 'mixed' then
    response = count_status
  end
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get('statuses')) do
      counts[status] = (counts[status] or 0) + count
    end
  end
  local by_status = {}
  for status, count in pairs(counts) do
    by_status[#by_status + 1] = string.format('"%d":%d', status, count)
  end
  local errors = summary.errors
  print(string.format(
    '{"microseconds":%d,"requests":%d,"above399":%d,"statuses":{%s},' ..
      '"connectErrors":%d,"readErrors":%d,"writeErrors":%d,"timeouts":%d,' ..
      '"p50":%d,"p99":%d,"max":%d}',
    summary.duration, summary.requests, errors.status, table.concat(by_status, ','),
    errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
