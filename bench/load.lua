-- What wrk sends, and the line of JSON that it prints at the end. Arguments after `--` are name=value:
--
--   workload   get      GET `path`
--              product  GET a product, any of `products`
--              order    POST an order of one piece of any of `products`, by any of the customers in `tokens`
--              mixed    nine `product` to one `order`
--              login    POST a sign-in, with any of the e-mail addresses in `accounts`, and `password`
--   path       of `get`
--   token      an access token for `get`, may be left out
--   products   how many products there are; their ids are `prefix` and six hex digits that count from 0
--   tokens     a file with one access token a line
--   accounts   a file with one e-mail address a line
--   run        unique to this run: what its idempotency keys begin with
--   seed       of this run's random numbers

local options = {}
local sent = 0
local threads = {}

-- Per thread, and read by `done`.
statuses = {}

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

local function any_of(list)
  return list[math.random(#list)]
end

local function any_product()
  return options.prefix .. string.format('%06x', math.random(0, options.products - 1))
end

-- wrk writes this request once, and ids are put into it: to format each anew would take from the core that it shares
-- with the program.
local function product_request()
  local before, after = wrk.format('GET', '/products/@'):match('^(.-)@(.*)$')
  return function()
    return before .. any_product() .. after
  end
end

local function order_request()
  local tokens = lines_of(options.tokens)
  return function()
    sent = sent + 1
    local headers = {
      ['Content-Type'] = 'application/json',
      ['Authorization'] = 'Bearer ' .. any_of(tokens),
      ['Idempotency-Key'] = string.format('%s-%d-%d', options.run, number, sent),
    }
    local body = '{"productList":[{"productId":"' .. any_product() .. '","quantity":1}]}'
    return wrk.format('POST', '/orders/create_order', headers, body)
  end
end

local function login_request()
  local accounts = lines_of(options.accounts)
  local headers = { ['Content-Type'] = 'application/json' }
  return function()
    local body = string.format('{"email":"%s","password":"%s"}', any_of(accounts), options.password)
    return wrk.format('POST', '/login', headers, body)
  end
end

local function get_request()
  local headers = {}
  if options.token then
    headers['Authorization'] = 'Bearer ' .. options.token
  end
  local written = wrk.format('GET', options.path, headers)
  return function()
    return written
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

local requests = {
  get = get_request,
  product = product_request,
  order = order_request,
  mixed = mixed_request,
  login = login_request,
}

-- To look at every answer costs wrk a copy of it. Where all that is asked for are reads, wrk's own count of answers
-- above 399 is enough: there is to be none.
local function count_status(status)
  statuses[status] = (statuses[status] or 0) + 1
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
  -- Each thread has random numbers of its own.
  math.randomseed(options.seed + number)
  request = requests[options.workload]()
  if options.workload == 'order' or options.workload == 'login' or options.workload == 'mixed' then
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
