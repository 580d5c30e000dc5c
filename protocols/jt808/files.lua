-- SPDX-License-Identifier: Apache-2.0
-- Attachments of an alarm: a terminal opens a connection of its own for them, announces files,
-- sends their blocks between the messages, and asks whether all came. A whole file is stored by
-- the host; until then its blocks are held, bounded per connection and per worker. What does not
-- fit, or what a host keeps no files for, is published block by block as it comes. A name is the
-- terminal's: the host makes a safe one of it.
local tg = require "tidegate"
local replies = require "replies"

local M = { MAGIC = "01cd" }

local BLOCK = "_magic:hex[4] name:gbk[%s] offset:u32be length:u32be data:hex[*]"
local padded, counted = tg.struct(BLOCK:format "50"), tg.struct(BLOCK:format "u8")
local FILES = 64 -- of one connection
local GAPS = 255 -- one answer names no more
local BLOCKS = 4096 -- held of one file

local function decode(layout, frame)
  local head, err = layout:decode(frame)
  if not head then return nil, err.message end
  return { type = "attachment_block", block = true, data = head }
end

--- A block, as the frame is.
function M.decode(frame) return decode(padded, frame) end

--- One whose name has its length in front. A first byte does not tell: the most usual names
--- are as long as the digit is that others begin with.
function M.decode_counted(frame) return decode(counted, frame) end

local function level(name)
  return (name:gsub("[/+#%z%c]", "_"))
end

local function files_of(dev)
  dev.files = dev.files or {}
  return dev.files
end

--- Bytes that this worker holds of files that are not whole yet.
local held = 0

local function hold(dev, file, bytes)
  file.held, dev.file_bytes = file.held + bytes, (dev.file_bytes or 0) + bytes
  held = held + bytes
end

local function let_go(dev, file)
  hold(dev, file, -file.held)
  file.blocks = {}
end

--- 0x1211: what will come.
local function announce(conn, dev, data)
  if not data.name or data.name == "" or not data.size then
    return conn:complain "an announcement without the file's name or size"
  end
  local files, n = files_of(dev), 0
  for _ in pairs(files) do n = n + 1 end
  local old = files[data.name]
  if n >= FILES and not old then
    return conn:complain "too many files are announced"
  end
  if old then let_go(dev, old) end
  files[data.name] = { size = data.size, ranges = {}, blocks = {}, held = 0 }
end

--- Adds a range; those that touch become one.
local function add(ranges, from, to)
  local out = {}
  for _, r in ipairs(ranges) do
    if r[2] < from or r[1] > to then
      out[#out + 1] = r
    else
      from, to = math.min(from, r[1]), math.max(to, r[2])
    end
  end
  out[#out + 1] = { from, to }
  table.sort(out, function(a, b) return a[1] < b[1] end)
  return out
end

local function publish(conn, dev, name, block, config)
  local topic = config.attachment_topic:gsub("%${(%w+)}",
    { device = dev.device, file = level(name), offset = block.offset })
  conn:publish { topic = topic, device = dev.device, payload = block.bytes }
end

--- What was held goes out after all, and so does what follows.
local function spill(conn, dev, name, file, config)
  for _, block in ipairs(file.blocks) do publish(conn, dev, name, block, config) end
  let_go(dev, file)
  file.spilled = true
end

--- A block of a file that was announced.
function M.block(conn, dev, msg, config)
  local data = msg.data
  local file = data.name and files_of(dev)[data.name]
  if not file or data.offset + data.length > file.size or #file.ranges > GAPS then
    return conn:complain "a block of a file that was not announced"
  end
  local block = { offset = data.offset, bytes = tg.hex.decode(data.data) or "" }
  file.ranges = add(file.ranges, data.offset, data.offset + data.length)
  local most = config.attachments == "file" and config.attachment_size or 0
  local size = #block.bytes
  if not file.spilled and ((dev.file_bytes or 0) + size > most or #file.blocks >= BLOCKS
    or held + size > config.reassembly_total) then
    spill(conn, dev, data.name, file, config)
  end
  if file.spilled then return publish(conn, dev, data.name, block, config) end
  file.blocks[#file.blocks + 1] = block
  hold(dev, file, size)
end

local function missing(file)
  local out, at = {}, 0
  for _, r in ipairs(file.ranges) do
    if r[1] > at then out[#out + 1] = { offset = at, length = r[1] - at } end
    at = math.max(at, r[2])
  end
  if at < file.size then out[#out + 1] = { offset = at, length = file.size - at } end
  return out
end

--- The bytes of a file of which all came; blocks may have come twice or overlap.
local function whole(file)
  table.sort(file.blocks, function(a, b) return a.offset < b.offset end)
  local out, at = {}, 0
  for _, block in ipairs(file.blocks) do
    local stop = block.offset + #block.bytes
    if stop > at then
      out[#out + 1] = block.bytes:sub(at - block.offset + 1)
      at = stop
    end
  end
  return table.concat(out)
end

--- @return boolean fine false: it was to be stored, and was not
local function store(conn, dev, data, file, config)
  if file.spilled then return true end
  local stored, err = tg.files.write({ dev.device, dev.alarm or "attachments", data.name },
    whole(file))
  if stored then
    data.file, data.sha256 = stored.path, stored.sha256
  elseif err.code == "UNSUPPORTED" then
    spill(conn, dev, data.name, file, config)
  else
    conn:complain("an attachment was not stored: " .. err.message)
    data.not_stored = err.message
    file.ranges = {} -- the terminal keeps it, and may send it again
  end
  let_go(dev, file)
  return stored ~= nil or file.spilled == true
end

--- 0x1212: answered with what is still missing.
--- @return boolean complete
local function done(conn, dev, data, config)
  if not data.name then return false, conn:complain "a file without a name is done" end
  local file = files_of(dev)[data.name]
  local gaps = file and missing(file) or { { offset = 0, length = data.size or 0 } }
  if file and #gaps == 0 and not store(conn, dev, data, file, config) then
    gaps = missing(file)
  end
  replies.send(conn, dev, 0x9212, {
    name = data.name, type = data.type_raw, result = #gaps == 0 and 0 or 1,
    missing = table.move(gaps, 1, math.min(#gaps, GAPS), 1, {}),
  }, config)
  if #gaps == 0 then files_of(dev)[data.name] = nil end
  return #gaps == 0
end

--- A terminal comes from another version with what it holds, or leaves.
function M.adjust(dev, sign)
  for _, file in pairs(dev.files or {}) do held = held + sign * (file.held or 0) end
end

function M.forget(dev)
  M.adjust(dev, -1)
  for _, file in pairs(dev.files or {}) do file.held = 0 end -- one may be on its way to the disk
  dev.files, dev.file_bytes = nil, nil
end

--- Adds what a listener for attachments does with their messages.
function M.handle(handlers, say, out, config)
  handlers[0x1210] = function(conn, dev, msg)
    local number = msg.data.alarm_number
    dev.alarm = number and number ~= "" and number or "attachments"
    out.message(conn, dev, msg)
    say.answer(conn, dev, msg, 0)
  end

  handlers[0x1211] = function(conn, dev, msg)
    announce(conn, dev, msg.data)
    out.message(conn, dev, msg)
    say.answer(conn, dev, msg, 0)
  end

  handlers[0x1212] = function(conn, dev, msg)
    msg.data.complete = done(conn, dev, msg.data, config)
    out.message(conn, dev, msg)
  end
end

return M
