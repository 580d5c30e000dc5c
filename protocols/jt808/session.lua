-- SPDX-License-Identifier: Apache-2.0
-- A terminal's connection: who it is, what is answered, what is published. Messages before
-- authentication are dropped; those of a phone that is not the connection's are, too, except
-- where the listener is one for concentrators.
local tg = require "tidegate"
local auth = require "auth"
local choice = require "choice"
local files = require "files"
local packets = require "packets"
local publish = require "publish"
local registry = require "registry"
local repeats = require "repeats"
local replies = require "replies"
local roaming = require "roaming"
local wire = require "wire"

local M = {}

local seen = repeats.seen

---@param adapter tg.Adapter
---@param many boolean a concentrator's: many phones on one connection
---@param blocks boolean a listener for attachments: they need no authentication code
function M.add(adapter, many, blocks)
  local config = adapter.config
  local dropped = tg.metric.counter("before_auth", "messages of terminals that were not known")
  local again = tg.metric.counter("repeated", "messages that came twice")
  local say = replies.new(config)
  local out = publish.new(config)
  local assemble = packets.new(config, say, out)

  local known = {} -- how many terminals a concentrator has on each of its connections

  local handle_message

  --- What is kept of a terminal from its first message on, in the connection's state by its
  --- phone. Eight members, version and ready among them: one more, and each of very many
  --- terminals pays for sixteen. So what seldom differs is kept where it does.
  local function meet(conn, msg)
    local all = conn.state
    local n = many and known[conn] or 0
    if not many and next(all) or n >= config.terminals then return nil end
    if many then known[conn] = n + 1 end
    local header = msg.header or (#msg.phone == 10 and "2019" or "2013")
    local dev = {
      false, false, false, false, false, false, false, false, -- room for the last keys
      phone = msg.phone, device = wire.identity(msg.phone), header = header,
      version = msg.version, serial = 0, turn = 0,
    }
    dev.terminated = choice.listed(config.terminate_strings, dev.device) or nil
    local other = config.headers[dev.device]
    if other and other ~= header then
      dev.header, dev.phone, dev.known_as = other, wire.phone(dev.device, other), msg.phone
    end
    local edition = choice.settings(msg.phone, header, config)
    dev.edition = edition ~= dev.header and edition or nil
    wire.prepare(dev)
    all[msg.phone] = dev
    return dev
  end

  --- What it holds of the worker's room.
  local function release(dev)
    assemble.forget(dev)
    files.forget(dev)
  end

  local function forget(conn, dev)
    release(dev)
    conn.state[dev.known_as or dev.phone] = nil
    if known[conn] then known[conn] = known[conn] - 1 end
  end

  -- ---- registration, authentication ------------------------------------------------------------

  --- A connection for attachments is beside the terminal's own, and must not take it over.
  local function session_of(dev)
    return blocks and dev.device .. "-attachments" or dev.device
  end

  local function bind(conn, dev, who)
    local ok, err = conn:bind(session_of(dev), { tenant = who.tenant }, {
      expiry = config.offline > 0 and config.offline / 1000 or nil,
      window = config.commands_in_flight,
    })
    if not ok then conn:close("protocol", err) end
    return ok
  end

  --- What decode must know of the terminal. A concentrator's connection has none of it.
  local function speak(conn, dev, edition, vendor)
    dev.edition = edition or dev.edition
    if not many and (edition or vendor) then
      conn.codec = { edition = edition, vendor = vendor }
    end
  end

  local function keep(what, device, value)
    if value then
      tg.kv.set(what .. "/" .. device, value, { ttl = "40d" })
    else
      tg.kv.del(what .. "/" .. device)
    end
    return value
  end

  local function may_learn(dev)
    return config.edition == "auto" and not config.editions[dev.device]
  end

  --- Bodies of another edition than the header's, and the model, show at the registration: they
  --- are kept for the logins that follow.
  local function learn(conn, dev, msg)
    local edition = msg.edition == "2011" and "2013" or msg.edition
    if edition == dev.header or not may_learn(dev) then edition = nil end
    speak(conn, dev, keep("edition", dev.device, edition),
      keep("vendor", dev.device, config.models[msg.data.model]))
  end

  local function recall(conn, dev)
    local old = dev.header == "2019" and may_learn(dev)
    speak(conn, dev, old and tg.kv.get("edition/" .. dev.device) or nil,
      next(config.models) and tg.kv.get("vendor/" .. dev.device) or nil)
    local key = config.encrypt_down and tg.kv.get("rsa/" .. dev.device)
    dev.key = key and tg.json.decode(key) or nil
  end

  local function register(conn, dev, msg)
    local who, why = auth.register(conn, dev.device, msg.data)
    if not conn.open then return end
    if not who and config.registration == "check" then
      say.register(conn, dev, msg.serial, 4)
      conn:complain("registration refused: " .. why)
      return
    end
    local code = auth.issue(dev.device, config)
    say.register(conn, dev, msg.serial, 0, code)
    tg.log.info("%s registered: %s", dev.device, tostring(msg.data.plate))
    learn(conn, dev, msg)
    out.message(conn, dev, msg)
  end

  local function refuse(conn, dev, msg, why)
    say.answer(conn, dev, msg, 1)
    forget(conn, dev)
    conn:close("auth", why)
  end

  local function authenticate(conn, dev, msg)
    local who, why = auth.authenticate(conn, dev.device, msg.data, config)
    if not conn.open then return end
    if not who then return refuse(conn, dev, msg, why) end
    if not dev.ready and not bind(conn, dev, who) then return end
    dev.ready = true
    roaming.remember(conn, dev.device, who, config)
    recall(conn, dev)
    conn:idle(config.idle / 1000)
    say.answer(conn, dev, msg, 0)
    msg.data.auth_code = nil -- a secret
    out.message(conn, dev, msg)
  end

  local function logout(conn, dev, msg)
    say.answer(conn, dev, msg, 0)
    if dev.ready then
      out.message(conn, dev, msg)
      roaming.forget(dev.device)
      conn:unbind(session_of(dev))
    end
    forget(conn, dev)
    if not many then conn:close("normal") end
  end

  --- What is heard from terminals that nobody knows yet, if it comes in one packet.
  local open_to_all = { [0x0100] = register, [0x0102] = authenticate, [0x0003] = logout }

  local function before_auth(conn, dev, msg)
    local own = not msg.fragment and open_to_all[msg.id]
    if own then return own(conn, dev, msg) end
    local who = roaming.recall(conn, dev.device, config)
    if not who and (config.before_auth == "accept" or blocks and msg.id == 0x1210) then
      local why
      who, why = auth.authenticate(conn, dev.device, {}, config)
      if not who then return refuse(conn, dev, msg, why) end
    end
    if who then
      if not bind(conn, dev, who) then return end
      dev.ready = true
      recall(conn, dev)
      conn:idle(config.idle / 1000)
      if msg.members then
        out.position(conn, dev, msg)
        return say.answer(conn, dev, msg, 0)
      end
      return handle_message(conn, dev, msg)
    end
    dropped(1)
    say.answer(conn, dev, msg, 1)
    conn:complain("a message before authentication")
  end

  -- ---- messages --------------------------------------------------------------------------------

  local handle = {
    [0x0100] = register, [0x0102] = authenticate, [0x0003] = logout,
  }

  handle[0x0001] = function(conn, dev, msg)
    local taken = replies.general(conn, dev, msg.data)
    if not taken or config.payload == "emqx" then out.message(conn, dev, msg) end
  end

  handle[0x0005] = function(conn, dev, msg) say.packets(conn, dev, msg.data) end

  --- Kept for what goes down encrypted; after a while a terminal has to say it again.
  handle[0x0A00] = function(conn, dev, msg)
    if msg.encrypted then return say.answer(conn, dev, msg, 0) end
    dev.key = not msg.data.flaws and { e = msg.data.e, n = msg.data.n } or nil
    keep("rsa", dev.device, dev.key and tg.json.encode(dev.key))
    local taken = replies.specific(conn, dev, msg)
    local fine = taken or out.message(conn, dev, msg)
    say.reply(conn, dev, msg, registry.entry(0x0A00), fine and 0 or 1)
  end

  if blocks then files.handle(handle, say, out, config) end

  local function message(conn, dev, msg)
    if msg.fragment then return assemble.packet(conn, dev, msg) end
    local own = handle[msg.id]
    if own then return own(conn, dev, msg) end
    local entry = registry.entry(msg.id)
    local kept = msg.id ~= 0x0801 or msg.encrypted or assemble.media(conn, dev, msg)
    local taken = replies.specific(conn, dev, msg)
    local fine = taken or out.message(conn, dev, msg)
    say.reply(conn, dev, msg, entry, kept and fine and 0 or 1)
  end
  handle_message, assemble.deliver = message, message

  --- A plain position that takes the way of all others.
  local function complete(msg)
    if msg.members then
      msg.id, msg.serial = 0x0200, msg.key >> 8 & 0xFFFF
      msg.edition = choice.editions[msg.key >> 40]
    end
    return msg
  end

  --- A block has no phone: it is of the terminal that announced it.
  local function block(conn, msg)
    local _, dev = next(conn.state)
    if not dev or not dev.ready then return conn:complain "a block before its announcement" end
    files.block(conn, dev, msg, config)
  end

  local send, answer = nil, wire.answer -- a method is looked up once, not for each message

  function adapter.on_message(conn, msg)
    send = send or conn.send
    local dev = conn.state[msg.phone]
    if not dev then
      if msg.block then return block(conn, msg) end
      dev = meet(conn, msg)
      if not dev then return conn:complain "a phone that is not this connection's" end
    end
    if not dev.ready then return before_auth(conn, dev, complete(msg)) end
    local key = msg.key
    if msg.members then
      local result = 0
      if seen(dev, key) then again(1) elseif not out.position(conn, dev, msg) then result = 1 end
      return send(conn, answer(dev, key >> 8 & 0xFFFF, 0x0200, result))
    end
    if seen(dev, key) and not (msg.fragment and assemble.under_way(dev, msg)) then
      again(1)
      if msg.fragment then return say.answer(conn, dev, msg, 0) end -- of a message that is whole
      return say.reply(conn, dev, msg, registry.entry(msg.id), 0)
    end
    message(conn, dev, msg)
  end

  function adapter.on_idle(conn) conn:close("idle") end
  function adapter.on_close(conn)
    known[conn] = nil
    for _, dev in pairs(conn.state) do release(dev) end
  end

  function adapter.on_move(conn)
    assemble.moved(conn)
    for _, dev in pairs(conn.state) do
      files.adjust(dev, 1)
      if many then known[conn] = (known[conn] or 0) + 1 end
    end
  end
end

return M
