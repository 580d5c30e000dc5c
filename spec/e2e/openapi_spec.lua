-- SPDX-License-Identifier: Apache-2.0
-- docs/openapi.json against the host: it lists the routes that the code has, with their roles, and
-- what the host answers is what it says, member by member.
local Host = require "support.host"
local Tcp = require "support.tcp"
local cjson = require "cjson"

local DEVICE = [[
local tg = require "tidegate"
local M = tg.adapter { id = "meter", version = "1.0.0", api = 1, frame = { kind = "line" } }
function M.decode(f) return { type = "login", device = f } end
function M.encode(m) return m.line .. "\n" end
function M.on_message(conn, m)
  conn:bind(m.device)
  conn:send { line = "welcome" }
end
function M.commands.read(_, args) return { register = args.register } end
return M
]]

local doc = cjson.decode(Host.read "docs/openapi.json")

--- "GET /path" of all that the code has, to the role that it asks for.
local function routes()
  local out = {}
  local code = Host.read "core/admin/routes.c"
  for method, path, role in code:gmatch '{"(%u+)", "([^"]+)", TG_ROLE_(%u+),' do
    out[method .. " " .. path] = role:lower()
  end
  return out
end

local function operations()
  local out = {}
  for path, item in pairs(doc.paths) do
    for method, op in pairs(item) do out[method:upper() .. " " .. path] = op end
  end
  return out
end

-- ---- schemas ----------------------------------------------------------------------------

local function kind_of(v)
  if v == cjson.null then return "null" end
  if type(v) == "number" then return v % 1 == 0 and "integer" or "number" end
  if type(v) ~= "table" then return type(v) end
  return next(v) == nil and "empty" or v[1] ~= nil and "array" or "object"
end

local KINDS = { number = { integer = true }, array = { empty = true }, object = { empty = true } }

local function is_kind(v, want)
  for _, name in ipairs(type(want) == "table" and want or { want }) do
    local kind = kind_of(v)
    if kind == name or (KINDS[name] or {})[kind] then return true end
  end
  return false
end

local function holds(list, v)
  for _, item in ipairs(list) do
    if item == v then return true end
  end
  return false
end

local check

local function check_members(schema, v, where)
  for _, name in ipairs(schema.required or {}) do
    assert(v[name] ~= nil, where .. ": " .. name .. " is missing")
  end
  for name, value in pairs(v) do
    local member = (schema.properties or {})[name]
    if member == nil then member = schema.additionalProperties end
    assert(member ~= false, where .. ": " .. name .. " is not in the document")
    if type(member) == "table" then check(member, value, where .. "." .. name) end
  end
end

function check(schema, v, where)
  local name = schema["$ref"] and schema["$ref"]:match "^#/components/schemas/(%w+)$"
  if name then return check(assert(doc.components.schemas[name], name), v, where) end
  assert(not schema.type or is_kind(v, schema.type), where .. ": is " .. kind_of(v))
  assert(not schema.enum or holds(schema.enum, v), where .. ": is " .. tostring(v))
  if schema.type == "object" then check_members(schema, v, where) end
  if schema.items then
    for i, item in ipairs(v) do check(schema.items, item, where .. "." .. i) end
  end
end

local function schema_of(op, status, kind)
  local answer = op.responses[tostring(status)] or op.responses.default
  local content = assert(answer.content[kind], kind .. " is not among the answers")
  return content.schema
end

describe("docs/openapi.json", function()
  local host, device

  setup(function()
    local folder = Host.folder()
    Host.write(folder .. "/init.lua", DEVICE)
    host = Host.start { config = {
      plugins = { { name = folder } },
      listeners = { { name = "meter", adapter = "meter", anonymous = true } },
    } }
    device = Host.connect(host.ports.meter):send "m/1\n"
    device:expect "welcome\n"
    host:api("POST", "/api/v1/publish", { topic = "a/b", payload = "x", retain = true,
      content_type = "text/plain", user_properties = { k = "v" } })
  end)

  teardown(function()
    device:close()
    host:stop()
    Host.cleanup()
  end)

  local BODIES = {
    sendCommand = { name = "read", args = { register = 7 } },
    publish = { topic = "a", payload = { n = 1 } },
    decode = { hex = "6D2F31" },
    setLogLevel = { level = "info", module = "net" },
  }
  local PARAMS = {
    reloadPlugin = "meter", client = "m%2F1", device = "m%2F1", sendCommand = "m%2F1",
    decode = "meter", kickClient = "nobody",
  }

  local function path_for(op, path)
    return (path:gsub("{%w+}", function() return PARAMS[op.operationId] or "nobody" end))
  end

  it("lists the routes of the code, all of them and no others, with their roles", function()
    local listed = {}
    for name, op in pairs(operations()) do listed[name] = op["x-role"] end
    assert.same(routes(), listed)
    assert.is_true(next(listed) ~= nil)
  end)

  it("names each operation once and each parameter of its path", function()
    local seen = {}
    for name, op in pairs(operations()) do
      assert.is_nil(seen[op.operationId], op.operationId)
      seen[op.operationId] = true
      local declared = {}
      for _, p in ipairs(op.parameters or {}) do
        if p["in"] == "path" then declared[p.name] = true end
      end
      for param in name:gmatch "{(%w+)}" do
        assert.is_true(declared[param], name .. ": " .. param)
        declared[param] = nil
      end
      assert.is_nil(next(declared), name)
    end
  end)

  it("says who needs a token", function()
    for name, op in pairs(operations()) do
      local method, path = name:match "^(%u+) (.*)$"
      local status = host:api(method, path_for(op, path), nil, { Authorization = false })
      assert.equal(op["x-role"] == "none" and 200 or 401, status, name)
      assert.equal(op["x-role"] == "none", op.security ~= nil, name)
    end
  end)

  for name, op in pairs(operations()) do
    local method, path = name:match "^(%u+) (.*)$"
    if op.operationId ~= "subscribe" then
      it("has the answer of " .. name, function()
        local given = BODIES[op.operationId]
        local status, body, head = host:api(method, path_for(op, path), given)
        local kind = head:lower():match "content%-type: ([%w/+-]+)"
        local wanted = op.operationId == "kickClient" and 404 or 200
        assert.equal(wanted, status, cjson.encode(body))
        check(schema_of(op, status, kind), body, op.operationId)
      end)
    end
    if op.requestBody then
      it("has the refusal of " .. name, function()
        local status, body, head = host:api(method, path_for(op, path), "{")
        assert.matches("application/problem%+json", head)
        assert.equal(400, status)
        check(schema_of(op, status, "application/problem+json"), body, op.operationId)
      end)
      it("has the members that " .. name .. " takes", function()
        local schema = doc.components.schemas[
          op.requestBody.content["application/json"].schema["$ref"]:match "(%w+)$"]
        check(schema, BODIES[op.operationId], op.operationId)
      end)
    end
  end

  it("has the events of GET /api/v1/subscribe", function()
    local op = operations()["GET /api/v1/subscribe"]
    local conn = Tcp.connect(host.admin_port)
    conn:send("GET /api/v1/subscribe?filter=%23 HTTP/1.1\r\nHost: " .. host.admin
      .. "\r\nAuthorization: Bearer " .. host.token .. "\r\n\r\n")
    local event
    Host.await(function()
      event = conn.data:match '{"event":"message".-}\r?\n'
      return event
    end, "a message")
    assert.matches("^HTTP/1.1 200", conn.data)
    local schema = schema_of(op, 200, "application/x-ndjson")
    check(schema, cjson.decode(event), "message")
    check(schema, cjson.decode(conn.data:match '{"event":"subscribed".-}\r?\n'), "subscribed")
    conn:close()
  end)

  it("says what a client that is away looks like", function()
    device:close()
    Host.eventually(function()
      local _, body = host:api("GET", "/api/v1/devices")
      check(doc.components.schemas.Devices, body, "devices")
      return #body.items == 0 or body.items[1].connected == false
    end, "the device to be away")
  end)
end)
