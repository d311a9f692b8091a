-- The peer `lua`: what a careful OpenResty user would write. Same checks as the other decoding peers: url-decode, crc,
-- base64, gunzip (zlib by FFI), JSON, required fields; each good event is written again with receive time and address
-- and appended to a file in memory, 256 KiB at a time.
local ffi = require "ffi"
local cjson = require "cjson.safe"
local bit = require "bit"

ffi.cdef [[
typedef struct {
  const uint8_t *next_in; unsigned avail_in; unsigned long total_in;
  uint8_t *next_out; unsigned avail_out; unsigned long total_out;
  const char *msg; void *state; void *zalloc; void *zfree; void *opaque;
  int data_type; unsigned long adler; unsigned long reserved;
} collect_z_stream;
const char *zlibVersion(void);
int inflateInit2_(collect_z_stream *stream, int bits, const char *version, int size);
int inflateReset(collect_z_stream *stream);
int inflate(collect_z_stream *stream, int flush);
]]
local zlib = ffi.load("libz.so.1")
local GZIP_BITS, Z_FINISH, Z_STREAM_END = 31, 4, 1
local INFLATED_MAX = 4 * 1024 * 1024
local FLUSH_BYTES = 256 * 1024

local stream = ffi.new("collect_z_stream")
assert(zlib.inflateInit2_(stream, GZIP_BITS, zlib.zlibVersion(), ffi.sizeof(stream)) == 0)
local inflated = ffi.new("uint8_t[?]", INFLATED_MAX)

local M = { kept = 0, rejected = 0 }
local file, lines, line_count, line_bytes = nil, {}, 0, 0

local function flush()
  if line_count > 0 then
    file:write(table.concat(lines, "", 1, line_count))
    file:flush()
    line_count, line_bytes = 0, 0
  end
end

local function append(line)
  line_count = line_count + 1
  lines[line_count] = line
  line_bytes = line_bytes + #line
  if line_bytes >= FLUSH_BYTES then flush() end
end

function M.start(path)
  file = assert(io.open(path, "wb"))
  ngx.timer.every(1, function()
    flush()
    -- The file is in memory: it must not fill the machine over a long run.
    if file:seek("end") > 512 * 1024 * 1024 then
      file:close()
      file = assert(io.open(path, "wb"))
    end
  end)
end

local function gunzip(text)
  zlib.inflateReset(stream)
  stream.next_in, stream.avail_in = ffi.cast("const uint8_t *", text), #text
  stream.next_out, stream.avail_out = inflated, INFLATED_MAX
  if zlib.inflate(stream, Z_FINISH) ~= Z_STREAM_END then return nil end
  return ffi.string(inflated, INFLATED_MAX - stream.avail_out)
end

local function checksum(text)
  local hash, bytes = 0, ffi.cast("const uint8_t *", text)
  for i = 0, #text - 1 do
    hash = bit.tobit(bit.lshift(hash, 5) - hash + bytes[i])
  end
  return hash
end

local function field(form, name)
  local key = name .. "="
  local from
  if form:sub(1, #key) == key then
    from = 1
  else
    from = form:find("&" .. key, 1, true)
    if not from then return nil end
    from = from + 1
  end
  local to = form:find("&", from, true) or #form + 1
  return form:sub(from + #key, to - 1)
end

local function collect()
  local form
  if ngx.req.get_method() == "POST" then
    ngx.req.read_body()
    form = ngx.req.get_body_data()
  else
    form = ngx.var.args
  end
  if not form then return false end
  local data = field(form, "data_list") or field(form, "data")
  if not data then return false end
  -- In base64 a plus is a plus.
  data = ngx.unescape_uri((data:gsub("+", "%%2B")))
  local crc = field(form, "crc")
  if not crc then
    local ext = field(form, "ext")
    crc = ext and ngx.unescape_uri(ext):match("crc=(-?%d+)")
  end
  if crc and tonumber(crc) ~= checksum(data) then return false end
  local text = ngx.decode_base64(data)
  if text and field(form, "gzip") == "1" then text = gunzip(text) end
  local value = text and cjson.decode(text)
  if type(value) ~= "table" then return false end
  local events = value[1] and value or { value }
  local head = string.format('{"recv_time":%d,"ip":"%s","event":', ngx.now() * 1000, ngx.var.remote_addr)
  for i = 1, #events do
    local event = events[i]
    if type(event) == "table" and type(event.type) == "string" and type(event.distinct_id) == "string"
      and type(event.time) == "number" and type(event.properties) == "table" then
      append(head .. cjson.encode(event) .. "}\n")
      M.kept = M.kept + 1
    else
      M.rejected = M.rejected + 1
    end
  end
  return true
end

function M.handle()
  if collect() then
    ngx.exit(204)
  else
    M.rejected = M.rejected + 1
    ngx.exit(400)
  end
end

return M
