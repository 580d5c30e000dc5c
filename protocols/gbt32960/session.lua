-- SPDX-License-Identifier: Apache-2.0
-- What a link does with messages: who is answered what, and what is published. Links of
-- vehicles and of platforms differ in which reports are answered, and whose they may be.
local tg = require "tidegate"
local cells = require "cells"
local decode = require "decode"
local encode = require "encode"
local forward = require "forward"
local links = require "links"
local quality = require "quality"

local M = {}

local now, format, ticks = tg.time.now, tg.time.format, tg.time.ticks

-- The answer flags of 2016 know an error only.
local FLAGS = {
  [2016] = { ok = 1, error = 2, structure = 2, encrypted = 2, signature = 2, unknown = 2,
    duplicate = 3 },
  [2025] = { ok = 1, error = 2, structure = 6, encrypted = 7, signature = 5, unknown = 4,
    duplicate = 3 },
}
local COMMAND = 0xFE

---@param adapter tg.Adapter
function M.add(adapter)
  local config = adapter.config

  -- ---- answers -------------------------------------------------------------------------------

  local function unit_of(conn, msg)
    if config.ack == "empty" then return "" end
    if config.ack == "echo" and msg.edition == 2016 and conn.state.role ~= "platform" then
      return encode.time(now()) .. (msg.unit or ""):sub(7)
    end
    if msg.cmd == 0x0B or msg.error == "encrypted" then return encode.time(now()) end
    return msg.time6 or ""
  end

  local function answer(conn, msg, kind, unit)
    if not conn.open then return end
    local flag = FLAGS[msg.edition][kind]
    conn:send(encode.frame(msg.edition, msg.cmd, flag, msg.id, 1, unit or unit_of(conn, msg)))
  end

  local function answer_report(conn, msg, kind)
    local how, good = config.answer_realtime, kind == "ok"
    if how == "auto" then how = conn.state.role == "platform" and "always" or "errors" end
    if how == "always" or how == "errors" and not good then answer(conn, msg, kind) end
  end

  -- ---- publishing ----------------------------------------------------------------------------

  local clock = { at = -1, text = "" }

  local function received()
    local time = now()
    if time ~= clock.at then clock.at, clock.text = time, format(time) end
    return clock.text
  end

  local function publish_emqx(conn, msg)
    if not msg.emqx then return end
    conn:publish {
      device = msg.device, qos = 1, payload = msg.emqx.payload,
      topic = ("gbt32960/%s/%s"):format(msg.device, msg.emqx.suffix),
    }
  end

  local function publish(conn, msg)
    if config.payload == "emqx" then return publish_emqx(conn, msg) end
    if msg.members then
      local more = msg.type == "reissue" and '"reissued":true,"received":"' or '"received":"'
      msg.members = { msg.members, more .. received() .. '"' }
    else
      msg.data.received = received()
    end
    conn:publish(msg)
  end

  local function publish_cells(conn, msg, v)
    v.packs = v.packs or {}
    for _, part in ipairs(msg.cells) do
      local pack = cells.add(v.packs, part)
      if pack then
        pack.vin, pack.received = msg.device, received()
        local ms = tg.time.from_bytes(msg.time6, 480)
        pack.time = ms and format(ms, 480) or nil
        conn:publish { type = "cells", device = msg.device, data = pack }
      end
    end
  end

  -- ---- logins --------------------------------------------------------------------------------

  local function refused(conn, msg, kind, why)
    if not conn.open then return end
    quality.count "refused"
    conn:complain(("%s of %s: %s"):format(msg.type, msg.device, why))
    links.forget_keys(conn, msg.device)
    answer(conn, msg, kind)
    if conn.state.role ~= "platform" then conn:close("auth", why) end
  end

  local function login_with(how, after)
    return function(conn, msg)
      local ok, kind, why = how(conn, msg, config)
      if ok then
        after(conn, msg)
        publish(conn, msg)
      elseif kind then
        refused(conn, msg, kind, why)
      end
    end
  end

  local enter = {}

  enter.login = login_with(links.login, function(conn, msg)
    if conn.state.role == "vehicle" then conn:idle(config.idle / 1000) end
    local v = conn.state.vehicles[msg.device]
    v.login = msg.frame
    quality.frame(v.q)
    quality.clock(v.q, msg.time6)
    forward.take(conn, msg)
    answer(conn, msg, "ok")
  end)

  --- A platform's server ends the link with the connection alone.
  enter.platform_login = login_with(links.platform_login, function(conn, msg)
    conn:idle(0)
    answer(conn, msg, "ok")
  end)

  --- It is answered by its result (0A), which an application has to give.
  enter.activation = login_with(links.activate, function(conn)
    if conn.state.role == "vehicle" then conn:idle(config.idle / 1000) end
  end)

  -- ---- reports -------------------------------------------------------------------------------

  --- Reissued reports in a second: a store that is emptied must not drown what is live.
  local function too_many(state)
    local second = ticks() // 1000
    if state.second ~= second then state.second, state.reissued = second, 0 end
    state.reissued = state.reissued + 1
    return state.reissued > config.reissues
  end

  local handle = {}

  function handle.report(conn, msg, v)
    quality.report(v.q, msg)
    if msg.error == "signature" then
      msg.type = "rejected"
      publish(conn, msg)
      return answer_report(conn, msg, "signature")
    end
    publish(conn, msg)
    if msg.cells then publish_cells(conn, msg, v) end
    if not msg.error then forward.take(conn, msg, v) end
    answer_report(conn, msg, msg.error or "ok")
  end

  function handle.reissue(conn, msg, v)
    if too_many(conn.state) then return answer_report(conn, msg, "error") end
    return handle.report(conn, msg, v)
  end

  function handle.logout(conn, msg, v)
    if not msg.error and msg.data.serial ~= v.serial then
      msg.data.flaws = msg.data.flaws or {}
      table.insert(msg.data.flaws, "serial_of_another_login")
    end
    if not msg.error then forward.take(conn, msg, v) end
    answer(conn, msg, msg.error or "ok")
    publish(conn, msg)
    if not msg.error then links.leave(conn, msg.device) end
  end

  function handle.heartbeat(conn, msg)
    answer(conn, msg, "ok", config.heartbeat_answer == "time" and encode.time(now()) or "")
    if config.payload ~= "emqx" then publish(conn, msg) end
  end

  function handle.time_sync(conn, msg)
    answer(conn, msg, "ok", encode.time(now()))
  end

  function handle.key_exchange(conn, msg)
    answer(conn, msg, msg.error or "ok")
    publish(conn, msg)
  end

  function handle.raw(conn, msg)
    if msg.error then answer(conn, msg, msg.error) end
    publish(conn, msg)
  end

  -- ---- messages ------------------------------------------------------------------------------

  --- What a platform says of itself: it is no vehicle, whatever its name.
  local of_platform = {
    heartbeat = handle.heartbeat, time_sync = handle.time_sync, key_exchange = handle.key_exchange,
    raw = handle.raw,
  }

  local function platform_message(conn, msg)
    if msg.flag ~= COMMAND then
      publish(conn, msg)
    elseif msg.type == "platform_logout" then
      local state = conn.state
      if not msg.error and msg.data.serial ~= state.serial then
        msg.data.flaws = { "serial_of_another_login" }
      end
      answer(conn, msg, msg.error or "ok")
      publish(conn, msg)
      if msg.error then return end
      for vin in pairs(state.vehicles) do links.leave(conn, vin) end
      conn:unbind(state.platform)
      state.role, state.platform = nil, nil
    else
      local own = of_platform[msg.type]
      if own then return own(conn, msg) end
      conn:complain(msg.type .. " of the platform itself")
    end
  end

  --- @return table? the vehicle that the message is from, if it may speak on this link
  local function vehicle_of(conn, msg)
    local state = conn.state
    local v = state.vehicles and state.vehicles[msg.device]
    if v and (state.role ~= "platform" or links.owns(conn, msg.device)) then return v end
    quality.count "foreign"
    if v then links.forget(conn, msg.device) end
    conn:complain(msg.device .. " is not logged in on this link")
    if state.role == "platform" and msg.flag == COMMAND and msg.cmd < 0x80 then
      answer(conn, msg, "unknown")
    end
  end

  --- Answers of vehicles to what was sent down. Some say that they are commands.
  local function answered(conn, msg)
    msg.ok = msg.flag == 0x01 or msg.flag == COMMAND
    local waited = conn:answer(("%s/%d"):format(msg.device, msg.cmd), msg)
    if msg.cmd == 0x80 or not waited or config.payload == "emqx" then publish(conn, msg) end
  end

  local function refuse_name(conn, msg)
    conn:complain(msg.refused)
    if enter[msg.type] then
      quality.count "refused"
      conn:close("protocol", msg.refused)
    end
  end

  function adapter.on_message(conn, msg)
    if msg.refused then return refuse_name(conn, msg) end
    if msg.sealed and msg.flag == COMMAND then
      msg = links.unseal(conn, msg, config)
      if msg.sealed then return refused(conn, msg, "encrypted", msg.why) end
    end
    local enters = msg.flag == COMMAND and enter[msg.type]
    if enters then return enters(conn, msg) end
    local state = conn.state
    if state.platform and msg.device == state.platform then return platform_message(conn, msg) end
    local v = vehicle_of(conn, msg)
    if not v then return end
    if msg.flag ~= COMMAND or msg.cmd >= 0x80 and msg.cmd <= 0x82 then
      return answered(conn, msg)
    end
    quality.frame(v.q)
    if v.activating then return conn:complain "a report before the login" end
    local own = handle[msg.type] or handle.raw
    own(conn, msg, v)
  end

  --- A report whose checksum is wrong is sent again only where its answer says so. All else is
  --- passed over in silence: the sender tries again by itself.
  function adapter.on_damaged(conn, frame)
    local msg = decode.head(frame, config)
    local v = msg.device and conn.state.vehicles and conn.state.vehicles[msg.device]
    quality.damaged(v and v.q)
    if not v or msg.flag ~= COMMAND or not (msg.cmd == 0x02 or msg.cmd == 0x03) then return end
    answer_report(conn, msg, "error")
  end

  function adapter.on_idle(conn) conn:close("idle") end

  function adapter.on_close(conn) links.forget_all(conn) end
end

return M
