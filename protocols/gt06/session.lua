-- SPDX-License-Identifier: Apache-2.0
-- A tracker's connection: login, answers, what is published when. The identity is in the login
-- frame alone; all that comes before it is dropped, since nobody knows whose it is.
local tg = require "tidegate"
local encode = require "encode"

local M = {}

local now, format, to_bytes = tg.time.now, tg.time.format, tg.time.to_bytes
local unpack = string.unpack

local FUTURE_MS = 5 * 60 * 1000 -- a clock further ahead is nearly always in the wrong zone

local WANTED = {
  required = { yes = true },
  recommended = { yes = true, recommended = true },
  all = { yes = true, recommended = true, optional = true },
}

---@param adapter tg.Adapter
function M.add(adapter)
  local config = adapter.config
  local wanted = WANTED[config.answer]
  local junk = tg.metric.counter("before_login", "frames of devices that had not logged in")

  local function answer(conn, msg)
    if wanted[msg.answer] and not (msg.proto >= 0x80 and msg.proto <= 0x82) then
      conn:send(encode.answer(msg.proto, msg.serial, msg.long_answer))
    end
  end

  local function publish(conn, msg)
    msg.data.received = format(now())
    conn:publish(msg)
  end

  -- ---- login -------------------------------------------------------------------------------

  local function welcome(conn, msg)
    if config.login_answer == "long" then
      return conn:send { type = "login_long", serial = msg.serial, time = now() }
    end
    conn:send(encode.answer(0x01, msg.serial, false))
  end

  local function allowed(conn, imei)
    local who, err = tg.auth.check { device = imei, peer = conn.peer }
    if who then return who end
    if config.refused == "hold" and err.code == "DENIED" then
      conn.state.held = imei
      return nil
    end
    conn:close("auth", err)
    return nil
  end

  local function bind(conn, imei, who)
    if conn.device and conn.device ~= imei then
      tg.log.info("%s was %s on the same connection", imei, conn.device)
      conn:unbind(conn.device)
    end
    local ok, err = conn:bind(imei, { tenant = who.tenant },
      { expiry = config.session_expiry / 1000 })
    if not ok then conn:close("protocol", err) end
    return ok
  end

  local function login(conn, msg)
    if msg.refused then return conn:close("protocol", msg.refused) end
    local data = msg.data
    conn.codec = { zone = data.tz_offset_minutes or 0 }
    if conn.device ~= data.imei then
      local who = allowed(conn, data.imei)
      if not who then
        if conn.state.held and conn.open then welcome(conn, msg) end
        return
      end
      if not bind(conn, data.imei, who) then return end
    end
    conn.state.held, conn.state.device = nil, data.imei
    conn:idle(config.idle / 1000)
    welcome(conn, msg)
    publish(conn, msg)
  end

  -- ---- positions -----------------------------------------------------------------------------

  -- The clock as text, and as the six bytes of a time that is too far ahead: made once a
  -- millisecond, as frames come in crowds.
  local clock_at, clock_text, clock_limit = -1, "", 0

  local function look_at_clock(time)
    clock_at, clock_text = time, format(time)
    clock_limit = unpack(">I6", to_bytes(time + FUTURE_MS))
  end

  local function local_in_future(msg)
    local ms = tg.time.from_bytes(string.pack(">I6", msg.clock), msg.zone)
    return ms ~= nil and ms > clock_at + FUTURE_MS
  end

  local members = {}

  --- What C wrote, and behind it what only the session knows.
  local function publish_fast(conn, msg, state)
    local time, last, tail = now(), state.acc, '"'
    local future
    if time ~= clock_at then look_at_clock(time) end
    if msg.zone then future = local_in_future(msg) else future = msg.clock > clock_limit end
    if last and msg.proto == 0x12 and not msg.acc_known then tail = '","acc":' .. last end
    if future then tail = tail .. ',"flaws":["time_in_future"]' end
    members[1], members[2] = msg.members, '"received":"' .. clock_text .. tail
    msg.members = members
    conn:publish(msg)
  end

  local function location(conn, msg)
    local data = msg.data
    local acc = conn.state.acc
    if data.acc == nil and acc then data.acc = acc == "true" end
    publish(conn, msg)
  end

  local handle = { location = location }

  function handle.heartbeat(conn, msg)
    local acc = msg.data.acc
    if acc ~= nil then conn.state.acc = acc and "true" or "false" end
    publish(conn, msg)
  end

  --- The reply to a command, matched by its flag; one that nobody waits for is published alone.
  function handle.reply(conn, msg)
    local data = msg.data
    if data.server_flag and conn:answer(data.server_flag, data.text) then return end
    publish(conn, msg)
  end

  function handle.time_request(conn, msg)
    if wanted.recommended then
      conn:send { type = "time", serial = msg.serial, time = now() }
    end
  end

  function handle.address_request(conn, msg)
    conn.state.address_serial, conn.state.phone = msg.serial, msg.data.phone
    publish(conn, msg)
  end

  local function before_login(conn, msg, state)
    if state.held and msg.type == "heartbeat" then answer(conn, msg) end
    junk(1)
    conn:complain(state.held and "data of a refused device" or "data before login")
  end

  function adapter.on_message(conn, msg)
    if msg.type == "login" then return login(conn, msg) end
    local state = conn.state
    if not state.device then return before_login(conn, msg, state) end
    if wanted[msg.answer] and msg.type ~= "time_request" then answer(conn, msg) end
    if msg.members then return publish_fast(conn, msg, state) end
    local own = handle[msg.type] or publish
    own(conn, msg)
  end

  function adapter.on_idle(conn) conn:close("idle") end
end

return M
