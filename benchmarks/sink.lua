-- The S3 side of sink.py: answers everything but object bodies, which nginx itself moves.
--
-- What a client can ask for later is kept in two shared dictionaries:
--   index    "bucket/name"  ->  "size etag mtime body checksum"
--   uploads  upload id      ->  "bucket/name";   id:number  ->  "size etag"
-- `body` says what GET serves: "file" for the bytes that were put, "zeros" when they were
-- discarded or lie in parts, which are never joined. Under the name synthetic/SIZE, and
-- synthetic/SIZE/COUNT/NUMBER, there are always zeros: LIST of synthetic/SIZE/COUNT/ shows COUNT
-- of them.
--
-- GET /?activity answers "CHANGES LISTED": how many requests there were that could change something
-- (PUT, POST, DELETE), and how many names LIST has shown.

local ffi = require "ffi"
local table_new = require "table.new"

ffi.cdef [[
  int creat(const char *path, unsigned int mode);
  int ftruncate(int descriptor, long length);
  int close(int descriptor);
]]

local NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
local DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
local PAGE_SIZE = 1000
local LAST_PART = 10000 -- S3 limit on part numbers
local DRAIN_SIZE = 65536
local SYNTHETIC_TIME = 1735689600 -- 2025-01-01: any time will do, but always the same one

local ECHOED = {
  "x-amz-server-side-encryption-customer-algorithm",
  "x-amz-server-side-encryption-customer-key-MD5",
}
local CHECKSUM = "x-amz-checksum-crc64nvme"

local index, uploads, counters = ngx.shared.index, ngx.shared.uploads, ngx.shared.counters
local settings
local M = {}

function M.configure(values)
  settings = values
end

-- Text

local XML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\r"] = "&#13;" }
local FROM_XML = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

local function escape_xml(text)
  return (text:gsub('[&<>"\r]', XML))
end

local function unescape_xml(text)
  text = text:gsub("&#x(%x+);", function(code) return string.char(tonumber(code, 16)) end)
  text = text:gsub("&#(%d+);", function(code) return string.char(tonumber(code)) end)
  return (text:gsub("&(%a+);", FROM_XML))
end

local function encode_url(text)
  return (text:gsub("[^%w%-%._~/]", function(c) return string.format("%%%02X", c:byte()) end))
end

local function element(name, text)
  return "<" .. name .. ">" .. text .. "</" .. name .. ">"
end

local function quoted(etag)
  return '"' .. etag .. '"'
end

-- Answers; the SSE-C echo is added to all of them by M.finish

local function answer(status, body, content_type)
  body = body or ""
  ngx.status = status
  if status ~= 204 then
    ngx.header["Content-Length"] = #body
  end
  if body ~= "" then
    ngx.header["Content-Type"] = content_type or "application/xml"
    ngx.print(body)
  else
    ngx.send_headers()
  end
  return ngx.exit(ngx.OK)
end

local function answer_xml(name, body)
  return answer(200, DECLARATION .. "<" .. name .. " " .. NAMESPACE .. ">" .. body .. "</" .. name .. ">")
end

local function refuse(status, code)
  return answer(status, DECLARATION .. element("Error", element("Code", code) .. element("Message", code)))
end

-- Objects

local function parse(entry)
  local size, etag, mtime, body, checksum = entry:match("^(%d+) (%S+) (%d+) (%S+) (%S*)$")
  return { size = tonumber(size), etag = etag, mtime = tonumber(mtime), body = body, checksum = checksum }
end

local function find(path, name)
  local size = name:match("^synthetic/(%d+)$") or name:match("^synthetic/(%d+)/%d+/%d+$")
  if size then
    return { size = tonumber(size), etag = "synthetic-" .. size, mtime = SYNTHETIC_TIME, body = "zeros", checksum = "" }
  end
  local entry = index:get(path)
  return entry and parse(entry)
end

local function record(path, size, etag, body, checksum)
  local entry = string.format("%d %s %d %s %s", size, etag, ngx.time(), body, checksum or "")
  local stored, reason = index:safe_set(path, entry)
  if not stored then
    ngx.log(ngx.ERR, "index: ", reason)
  end
  counters:incr("generation", 1, 0)
end

local function file_of(path)
  return "/objects/" .. ngx.md5(path)
end

local function part_file(id, number)
  return "/parts/" .. id .. "." .. number
end

local function forget(path)
  if index:get(path) then
    index:delete(path)
    counters:incr("generation", 1, 0)
    os.remove(settings.directory .. file_of(path))
  end
end

-- A sparse file takes no disk, and nginx serves ranges of it like those of any other.
local zeros_made = {}
local function zeros_of(size)
  local path = "/zeros/" .. string.format("%d", size)
  if not zeros_made[size] then
    local descriptor = ffi.C.creat(settings.directory .. path, 384) -- 0600
    assert(descriptor >= 0 and ffi.C.ftruncate(descriptor, size) == 0, "cannot make a sparse file")
    ffi.C.close(descriptor)
    zeros_made[size] = true
  end
  return path
end

local function new_etag(path)
  return ngx.md5(path .. ngx.now() .. counters:incr("etag", 1, 0))
end

-- Bodies of requests

local function body_text()
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  if text then
    return text
  end
  local name = ngx.req.get_body_file()
  if not name then
    return ""
  end
  local file = assert(io.open(name, "rb"))
  text = file:read("*a")
  file:close()
  return text
end

local function drain()
  local length = tonumber(ngx.var.http_content_length)
  if not length then
    return ngx.req.read_body()
  end
  local socket = length > 0 and assert(ngx.req.socket())
  while length > 0 do
    local data = socket:receiveany(DRAIN_SIZE)
    if not data then
      return ngx.exit(499)
    end
    length = length - #data
  end
end

-- aws-chunked bodies are framed, so what would be stored is not what was put
local function is_framed()
  return ngx.var.http_x_amz_decoded_content_length ~= nil
end

local function body_size()
  return tonumber(ngx.var.http_x_amz_decoded_content_length or ngx.var.http_content_length or 0)
end

-- Let nginx write the body to `file`, or throw it away; then M.finish or this calls `done`.
local function take_body(file, etag, done)
  ngx.ctx.etag = etag
  ngx.ctx.checksum = ngx.var.http_x_amz_checksum_crc64nvme
  if settings.discard then
    drain()
    if settings.delay > 0 then
      ngx.sleep(settings.delay)
    end
    done()
    return answer(200)
  end
  if settings.delay > 0 then
    ngx.sleep(settings.delay)
  end
  ngx.ctx.done = done
  ngx.req.set_uri(file)
end

local function put_object(path, name)
  if ngx.var.http_if_none_match == "*" and find(path, name) then
    drain()
    return refuse(412, "PreconditionFailed")
  end
  local etag, size = new_etag(path), body_size()
  local checksum = ngx.var.http_x_amz_checksum_crc64nvme
  local body = (settings.discard or is_framed()) and "zeros" or "file"
  return take_body(file_of(path), etag, function()
    record(path, size, etag, body, checksum)
  end)
end

local function get_object(path, name)
  local entry = find(path, name)
  if not entry then
    return refuse(404, "NoSuchKey")
  end
  local wanted = ngx.var.http_if_match
  if wanted and wanted:gsub('"', "") ~= entry.etag then
    return refuse(412, "PreconditionFailed")
  end
  -- nginx would hold these against its own idea of the entity tag
  ngx.req.clear_header("If-Match")
  ngx.req.clear_header("If-None-Match")
  ngx.req.clear_header("If-Range")
  ngx.ctx.etag = entry.etag
  ngx.ctx.mtime = entry.mtime
  local is_known = entry.checksum ~= "" and (entry.body == "file" or ngx.req.get_method() == "HEAD")
  if is_known and ngx.var.http_x_amz_checksum_mode and not ngx.var.http_range then
    ngx.ctx.checksum = entry.checksum
  end
  ngx.req.set_uri(entry.body == "file" and file_of(path) or zeros_of(entry.size))
end

-- Multipart uploads

local function create_upload(path, bucket, name)
  local id = ngx.md5(new_etag(path)) .. string.format("%08x", counters:incr("upload", 1, 0))
  uploads:set(id, path)
  ngx.header["x-amz-checksum-algorithm"] = ngx.var.http_x_amz_checksum_algorithm
  ngx.header["x-amz-checksum-type"] = ngx.var.http_x_amz_checksum_type
  return answer_xml(
    "InitiateMultipartUploadResult",
    element("Bucket", escape_xml(bucket)) .. element("Key", escape_xml(name)) .. element("UploadId", id)
  )
end

local function put_part(path, id, number)
  if uploads:get(id) ~= path then
    drain()
    return refuse(404, "NoSuchUpload")
  end
  local etag, size = new_etag(path), body_size()
  return take_body(part_file(id, number), etag, function()
    uploads:set(id .. ":" .. number, string.format("%d %s", size, etag))
  end)
end

local function each_part(id, visit)
  for number = 1, LAST_PART do
    local part = uploads:get(id .. ":" .. number)
    if part then
      local size, etag = part:match("^(%d+) (%S+)$")
      visit(number, tonumber(size), etag)
    end
  end
end

local function drop_upload(id)
  each_part(id, function(number)
    uploads:delete(id .. ":" .. number)
    os.remove(settings.directory .. part_file(id, number))
  end)
  uploads:delete(id)
end

local function complete_upload(path, bucket, name, id)
  local asked = body_text()
  if uploads:get(id) ~= path then
    return refuse(404, "NoSuchUpload")
  end
  local size, count = 0, 0
  for number in asked:gmatch("<PartNumber>%s*(%d+)%s*</PartNumber>") do
    local part = uploads:get(id .. ":" .. number)
    if not part then
      return refuse(400, "InvalidPart")
    end
    size = size + tonumber(part:match("^%d+"))
    count = count + 1
  end
  local etag = new_etag(path) .. "-" .. count
  local checksum = ngx.var.http_x_amz_checksum_crc64nvme
  drop_upload(id)
  record(path, size, etag, "zeros", checksum)
  local digest = ""
  if checksum then
    digest = element("ChecksumCRC64NVME", checksum) .. element("ChecksumType", "FULL_OBJECT")
  end
  return answer_xml(
    "CompleteMultipartUploadResult",
    element("Location", escape_xml("https://" .. ngx.var.http_host .. "/" .. encode_url(path)))
      .. element("Bucket", escape_xml(bucket))
      .. element("Key", escape_xml(name))
      .. element("ETag", escape_xml(quoted(etag)))
      .. digest
  )
end

local function abort_upload(path, id)
  if uploads:get(id) ~= path then
    return refuse(404, "NoSuchUpload")
  end
  drop_upload(id)
  return answer(204)
end

local function list_parts(path, bucket, name, args)
  local id = args.uploadId
  if uploads:get(id) ~= path then
    return refuse(404, "NoSuchUpload")
  end
  local marker = tonumber(args["part-number-marker"] or 0)
  local limit = tonumber(args["max-parts"] or PAGE_SIZE)
  local rows, last, is_truncated = {}, 0, false
  each_part(id, function(number, size, etag)
    if number <= marker then
      return
    end
    if #rows == limit then
      is_truncated = true
      return
    end
    last = number
    rows[#rows + 1] = element(
      "Part",
      element("PartNumber", number) .. element("ETag", escape_xml(quoted(etag))) .. element("Size", size)
    )
  end)
  return answer_xml(
    "ListPartsResult",
    element("Bucket", escape_xml(bucket))
      .. element("Key", escape_xml(name))
      .. element("UploadId", id)
      .. element("PartNumberMarker", marker)
      .. element("NextPartNumberMarker", last)
      .. element("MaxParts", limit)
      .. element("IsTruncated", tostring(is_truncated))
      .. table.concat(rows)
  )
end

local function list_uploads(bucket, args)
  local start = bucket .. "/" .. (args.prefix or "")
  local rows = {}
  for _, id in ipairs(uploads:get_keys(0)) do
    local path = not id:find(":", 1, true) and uploads:get(id)
    if path and path:sub(1, #start) == start then
      local name = path:sub(#bucket + 2)
      rows[#rows + 1] = element("Upload", element("Key", escape_xml(name)) .. element("UploadId", id))
    end
  end
  return answer_xml(
    "ListMultipartUploadsResult",
    element("Bucket", escape_xml(bucket)) .. element("IsTruncated", "false") .. table.concat(rows)
  )
end

-- LIST

-- One sorted snapshot of each bucket, and of each synthetic prefix (no bucket's name has a slash);
-- a listing that was begun goes on with the one it has.
local snapshots = {}
local function snapshot_of(bucket, is_continued)
  local generation = counters:get("generation") or 0
  local snapshot = snapshots[bucket]
  if snapshot and (is_continued or snapshot.generation == generation) then
    return snapshot
  end
  local start = bucket .. "/"
  local names = {}
  for _, path in ipairs(index:get_keys(0)) do
    if path:sub(1, #start) == start then
      names[#names + 1] = path:sub(#start + 1)
    end
  end
  table.sort(names) -- LuaJIT compares strings as bytes, which is what S3 promises
  snapshots[bucket] = { generation = generation, names = names }
  return snapshots[bucket]
end

local function synthetic_snapshot(prefix, count)
  if snapshots[prefix] then
    return snapshots[prefix]
  end
  local names = table_new(count, 0)
  for number = 1, count do
    names[number] = string.format("%s%09d", prefix, number)
  end
  snapshots[prefix] = { names = names }
  return snapshots[prefix]
end

-- What LIST has said of the names of a snapshot, by position; none of it outlives a change.
local function rows_of(snapshot, encode)
  local generation = counters:get("generation") or 0
  if snapshot.rows_generation ~= generation then
    snapshot.rows_generation, snapshot.rows = generation, {}
  end
  snapshot.rows[encode] = snapshot.rows[encode] or {}
  return snapshot.rows[encode]
end

local function contents(entry, name, encode)
  return "<Contents><Key>"
    .. encode(name)
    .. "</Key><LastModified>"
    .. os.date("!%Y-%m-%dT%H:%M:%S.000Z", entry.mtime)
    .. "</LastModified><ETag>&quot;"
    .. entry.etag
    .. "&quot;</ETag><Size>"
    .. string.format("%d", entry.size)
    .. "</Size><StorageClass>STANDARD</StorageClass></Contents>"
end

-- First position whose name is after `mark`, or not before it.
local function position(names, mark, is_after)
  local low, high = 1, #names + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local name = names[middle]
    if name < mark or (is_after and name == mark) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- The last string that starts with `prefix`, near enough: UTF-8 has no byte FF.
local function past(prefix)
  return prefix .. "\255"
end

local function list_objects(bucket, args)
  local prefix, delimiter = args.prefix or "", args.delimiter or ""
  local limit = math.min(tonumber(args["max-keys"] or PAGE_SIZE), PAGE_SIZE)
  local token = args["continuation-token"]
  local mark = token and ngx.decode_base64(token) or args["start-after"] or ""
  local encode = args["encoding-type"] == "url" and encode_url or escape_xml

  local count = prefix:match("^synthetic/%d+/(%d+)/$")
  local snapshot = count and synthetic_snapshot(prefix, tonumber(count)) or snapshot_of(bucket, token ~= nil)
  local names, known = snapshot.names, rows_of(snapshot, encode)

  local rows, taken, last = {}, 0, nil
  local at = mark >= prefix and position(names, mark, true) or position(names, prefix, false)
  while taken < limit do
    local name = names[at]
    if not name or name:sub(1, #prefix) ~= prefix then
      break
    end
    local cut = delimiter ~= "" and select(2, name:find(delimiter, #prefix + 1, true))
    if cut then
      local common = name:sub(1, cut)
      rows[#rows + 1] = element("CommonPrefixes", element("Prefix", encode(common)))
      taken, last = taken + 1, past(common)
      at = position(names, last, false)
    else
      local entry = not known[at] and find(bucket .. "/" .. name, name)
      if entry then
        known[at] = contents(entry, name, encode)
      end
      if known[at] then
        rows[#rows + 1] = known[at]
        taken, last = taken + 1, name
      end
      at = at + 1
    end
  end

  counters:incr("listed", taken, 0)
  local rest = names[at]
  local is_truncated = limit > 0 and rest ~= nil and rest:sub(1, #prefix) == prefix
  return answer_xml(
    "ListBucketResult",
    element("Name", escape_xml(bucket))
      .. element("Prefix", encode(prefix))
      .. (delimiter ~= "" and element("Delimiter", encode(delimiter)) or "")
      .. (args["start-after"] and element("StartAfter", encode(args["start-after"])) or "")
      .. (args["encoding-type"] and element("EncodingType", "url") or "")
      .. (token and element("ContinuationToken", token) or "")
      .. element("KeyCount", taken)
      .. element("MaxKeys", limit)
      .. element("IsTruncated", tostring(is_truncated))
      .. (is_truncated and element("NextContinuationToken", ngx.encode_base64(last)) or "")
      .. table.concat(rows)
  )
end

-- Routes

local function delete_objects(bucket)
  local asked = body_text()
  local is_quiet = asked:find("<Quiet>%s*true%s*</Quiet>") ~= nil
  local rows = {}
  for name in asked:gmatch("<Key>(.-)</Key>") do
    forget(bucket .. "/" .. unescape_xml(name))
    if not is_quiet then
      rows[#rows + 1] = element("Deleted", element("Key", name))
    end
  end
  return answer_xml("DeleteResult", table.concat(rows))
end

local function route_bucket(method, bucket, args)
  if method == "POST" and args.delete then
    return delete_objects(bucket)
  elseif method == "HEAD" then
    return answer(200)
  elseif method == "PUT" then
    drain()
    return answer(200)
  elseif method == "DELETE" then
    return answer(204)
  elseif args.uploads then
    return list_uploads(bucket, args)
  elseif args.location then
    return answer_xml("LocationConstraint", "")
  elseif args["list-type"] == "2" then
    return list_objects(bucket, args)
  end
  return refuse(501, "NotImplemented")
end

local function route_object(method, bucket, name, args)
  local path = bucket .. "/" .. name
  if method == "PUT" and args.partNumber then
    return put_part(path, args.uploadId, args.partNumber)
  elseif method == "PUT" then
    return put_object(path, name)
  elseif method == "GET" and args.uploadId then
    return list_parts(path, bucket, name, args)
  elseif method == "GET" or method == "HEAD" then
    return get_object(path, name)
  elseif method == "POST" and args.uploads then
    return create_upload(path, bucket, name)
  elseif method == "POST" and args.uploadId then
    return complete_upload(path, bucket, name, args.uploadId)
  elseif method == "DELETE" and args.uploadId then
    return abort_upload(path, args.uploadId)
  elseif method == "DELETE" then
    forget(path)
    return answer(204)
  end
  return refuse(501, "NotImplemented")
end

-- Every request: answers it here, or leaves its body to nginx.
function M.route()
  local method = ngx.req.get_method()
  if method ~= "GET" and method ~= "HEAD" then
    counters:incr("changes", 1, 0)
  end
  if settings.delay > 0 and method ~= "PUT" then
    ngx.sleep(settings.delay)
  end
  -- ngx.var.uri has lost what a name may contain: empty, "." and ".." segments
  local raw = ngx.var.request_uri:match("^/([^?]*)"):gsub("+", "%%2B")
  local bucket, name = ngx.unescape_uri(raw):match("^([^/]*)/?(.*)$")
  if bucket == "" and ngx.var.args == "activity" then
    local changes, listed = counters:get("changes") or 0, counters:get("listed") or 0
    return answer(200, string.format("%d %d", changes, listed), "text/plain")
  elseif bucket == "" then
    return answer_xml("ListAllMyBucketsResult", "<Buckets/>")
  end
  local args = ngx.req.get_uri_args()
  if name == "" then
    return route_bucket(method, bucket, args)
  end
  return route_object(method, bucket, name, args)
end

-- Every answer, before its head is sent. nginx answers a PUT with 201 or 204, which S3 clients
-- take for a failure.
function M.finish()
  local context = ngx.ctx
  if context.done and (ngx.status == 201 or ngx.status == 204) then
    context.done()
    ngx.status = 200
    ngx.header["Location"] = nil
    ngx.header["Content-Length"] = 0
  end
  if ngx.status < 300 then
    if context.etag then
      ngx.header["ETag"] = quoted(context.etag)
    end
    if context.mtime then
      ngx.header["Last-Modified"] = ngx.http_time(context.mtime)
    end
    ngx.header[CHECKSUM] = context.checksum
    for _, name in ipairs(ECHOED) do
      ngx.header[name] = ngx.var["http_" .. name:gsub("-", "_"):lower()]
    end
  end
end

return M
