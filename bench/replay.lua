-- wrk script: replays the requests of one corpus file, `| length u32 le | request |` each, from a random place on.
--   wrk … -s replay.lua URL -- FILE SEED [PAUSE_MS]
-- Everything is prepared before the first request, so the generator's own cost is a table look-up.
local requests, count, at, pause = {}, 0, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local head = file:read(4)
    if not head or #head < 4 then break end
    local a, b, c, d = head:byte(1, 4)
    count = count + 1
    requests[count] = file:read(a + 256 * (b + 256 * (c + 256 * d)))
  end
  file:close()
  math.randomseed(tonumber(args[2]))
  at = math.random(0, count - 1)
  pause = tonumber(args[3] or "0")
  if pause > 0 then
    delay = function() return pause end
  end
end

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"socket_errors":%d,"status_errors":%d,"p50_us":%.1f,"p99_us":%.1f}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
