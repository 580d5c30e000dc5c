-- SPDX-License-Identifier: Apache-2.0
-- Attachments of an alarm: a terminal opens a connection of its own for them, announces files,
-- sends their blocks between the messages, and asks whether all came. Blocks are published as
-- they are, under the file's name and their offset; only ranges are kept here. A name is the
-- terminal's: it is a level of a topic and never a path.
local tg = require "tidegate"
local replies = require "replies"

local M = {}

M.HEAD = tg.struct "_magic:hex[4] name:gbk[50] offset:u32be length:u32be data:hex[*]"
local FILES = 64 -- of one connection
local GAPS = 255 -- one answer names no more

--- A block, as the frame is.
function M.decode(frame)
  local head, err = M.HEAD:decode(frame)
  if not head then return nil, err.message end
  return { type = "attachment_block", block = true, data = head }
end

local function level(name)
  return (name:gsub("[/+#%z%c]", "_"))
end

local function files_of(dev)
  dev.files = dev.files or {}
  return dev.files
end

--- 0x1211: what will come.
function M.announce(conn, dev, data)
  if not data.name or not data.size then
    return conn:complain "an announcement without the file's name or size"
  end
  local files, n = files_of(dev), 0
  for _ in pairs(files) do n = n + 1 end
  if n >= FILES and not files[data.name] then
    return conn:complain "too many files are announced"
  end
  files[data.name] = { size = data.size, ranges = {} }
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

--- A block of a file that was announced.
function M.block(conn, dev, msg, config)
  local data = msg.data
  local file = data.name and files_of(dev)[data.name]
  if not file or data.offset + data.length > file.size or #file.ranges > GAPS then
    return conn:complain "a block of a file that was not announced"
  end
  file.ranges = add(file.ranges, data.offset, data.offset + data.length)
  local topic = config.attachment_topic:gsub("%${(%w+)}",
    { device = dev.device, file = level(data.name), offset = data.offset })
  conn:publish { topic = topic, device = dev.device, payload = tg.hex.decode(data.data) or "" }
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

--- 0x1212: answered with what is still missing.
function M.done(conn, dev, data, config)
  if not data.name then return false, conn:complain "a file without a name is done" end
  local file = files_of(dev)[data.name]
  local gaps = file and missing(file) or { { offset = 0, length = data.size or 0 } }
  replies.send(conn, dev, 0x9212, {
    name = data.name, type = data.type_raw, result = #gaps == 0 and 0 or 1,
    missing = table.move(gaps, 1, math.min(#gaps, GAPS), 1, {}),
  }, config)
  if #gaps == 0 then dev.files[data.name] = nil end
  return #gaps == 0
end

return M
