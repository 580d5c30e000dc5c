-- SPDX-License-Identifier: Apache-2.0
-- Long messages up: packets are collected, missing ones are asked for, and what is whole is
-- decoded and handled like any other message. A picture becomes a file of the host's, or is
-- published as it is on a topic of its own, with a record that describes it.
local tg = require "tidegate"
local assemble = require "assemble"
local decode = require "decode"
local media = require "media"
local registry = require "registry"

local M = {}

local IN_RECORD = 2 * 256 * 1024 -- digits
local ASK_AT_ONCE = 100 -- numbers in one request

function M.new(config, say, out)
  local self = {}

  local limits = { open = 8 }
  local function limits_now()
    limits.packets, limits.bytes = config.packets, config.reassembly
    limits.total = config.reassembly_total
    return limits
  end

  local lost = tg.metric.counter("incomplete", "long messages that never became whole")

  local function give_up(conn, dev, key, a)
    lost(1)
    local missing = assemble.missing(a, ASK_AT_ONCE)
    assemble.drop(dev, key)
    out.event(conn, dev, "incomplete", {
      message_id = ("0x%04x"):format(a.id), total = a.total, received = a.got, missing = missing,
    })
  end

  local watch

  local function look(conn, dev, key, began)
    local a = dev.parts and dev.parts[key]
    if not conn.open or not a or a.began ~= began then return end
    local now = tg.time.ticks()
    local quiet = now - a.at
    if now - a.began >= config.reassembly_time or a.asked >= config.resend_tries then
      return give_up(conn, dev, key, a)
    end
    if quiet >= config.resend_after then
      a.asked, a.at = a.asked + 1, now
      say.request(conn, dev, assemble.first_serial(a), assemble.missing(a, ASK_AT_ONCE))
      quiet = 0
    end
    watch(conn, dev, key, began, config.resend_after - quiet)
  end

  function watch(conn, dev, key, began, ms)
    tg.timer.after(ms / 1000, function() look(conn, dev, key, began) end)
  end

  --- The bytes go out as they are; the record names them.
  local function publish_bytes(conn, dev, data, bytes, name)
    data.file = name
    conn:publish { type = "media_file", device = dev.device, payload = bytes,
      topic = config.media_topic:gsub("%${(%w+)}", { device = dev.device, file = name }) }
  end

  --- Numbers of media begin anew with the terminal: the time keeps their files in order.
  local function store(conn, dev, data, bytes, name)
    local time = tg.time.format(tg.time.now(), 480):gsub("%D", ""):sub(1, 14)
    local file, err = tg.files.write({ dev.device, time .. "-" .. name }, bytes)
    if file then
      data.file, data.sha256 = file.path, file.sha256
    elseif err.code == "UNSUPPORTED" then
      publish_bytes(conn, dev, data, bytes, name)
    else
      conn:complain("a file was not stored: " .. err.message)
      data.not_stored = err.message
      return false
    end
    return true
  end

  --- @return boolean fine false: it was to be stored, and was not
  local function keep_media(conn, dev, msg)
    local data = msg.data
    local bytes = tg.hex.decode(data.data) or ""
    data.size, data.data = #bytes, nil
    local name = data.media_id .. "." .. (media.extension[data.format_raw] or "bin")
    if config.media == "file" then return store(conn, dev, data, bytes, name) end
    if config.media == "hex" then
      data.data_hex = tg.hex.encode(bytes) -- its own spelling, in one case
    elseif config.media == "binary" then
      publish_bytes(conn, dev, data, bytes, name)
    end
    return true
  end

  local function whole(conn, dev, msg, a)
    local body = assemble.take(dev, a)
    msg.fragment, msg.total, msg.number, msg.packets = nil, nil, nil, a.total
    msg.header = dev.header
    msg.data, msg.edition = decode.body(body .. "\0", 1, msg, { config = config })
    return self.deliver(conn, dev, msg)
  end

  local function each_answered(msg)
    if config.fragment_answers ~= "auto" then return config.fragment_answers == "each" end
    return msg.id == 0x0801
  end

  --- One packet of a longer message.
  function self.packet(conn, dev, msg)
    local now = tg.time.ticks()
    local a, why = assemble.add(dev, msg, limits_now(), now)
    if not a then
      conn:complain(why)
      return say.answer(conn, dev, msg, 1)
    end
    local entry = registry.entry(msg.id)
    if entry.reply ~= false and (each_answered(msg) and (not a.done or entry.reply == 0x8800)) then
      say.answer(conn, dev, msg, 0)
    end
    if a.done then return whole(conn, dev, msg, a) end
    if a.got == 1 then
      watch(conn, dev, msg.id << 16 | msg.total, a.began, config.resend_after)
    end
  end

  self.under_way = assemble.under_way

  --- Pictures that were put together, or came in one packet. Small ones stay in the record
  --- where its shape wants them there.
  function self.media(conn, dev, msg)
    local hex = msg.data.data
    if not hex or config.payload == "emqx" and #hex <= IN_RECORD then return true end
    return keep_media(conn, dev, msg)
  end

  self.forget = assemble.forget

  --- Timers of the version before are gone.
  function self.moved(conn)
    for _, dev in pairs(conn.state) do
      assemble.adjust(dev.holding or 0)
      for key, a in pairs(dev.parts or {}) do
        watch(conn, dev, key, a.began, config.resend_after)
      end
    end
  end

  return self
end

return M
