-- SPDX-License-Identifier: Apache-2.0
-- `make abi` on a copy of the headers that is changed in the ways people change headers.
describe("make abi", function()
  local root

  local function sh(command) return os.execute(command .. " >/dev/null 2>&1") == true end

  local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "a"
    file:close()
    return text
  end

  local function change(header, from, to)
    local path = root .. "/tidegate/" .. header .. ".h"
    local text = read(path)
    local at, last = text:find(from, 1, true)
    assert(at, "not in " .. header .. ": " .. from)
    local file = assert(io.open(path, "wb"))
    file:write(text:sub(1, at - 1), to, text:sub(last + 1))
    file:close()
  end

  local function abi(flag)
    return sh(("TG_ABI_ROOT=%s lua5.4 .ci/abi.lua %s"):format(root, flag or ""))
  end

  --- Raises the minor, as whatever grows must.
  local function rise()
    change("host", "#define TG_ABI_MINOR ", "#define TG_ABI_MINOR 9")
  end

  before_each(function()
    root = os.tmpname()
    os.remove(root)
    assert(sh("cp -r core/include " .. root))
    os.remove(root .. "/abi.list")
    assert.is_true(abi "--accept")
  end)

  after_each(function() sh("rm -rf " .. root) end)

  it("is content with headers that match the list, comments aside", function()
    assert.is_true(abi())
    change("types", "/// Bytes that belong", "/// These bytes belong")
    assert.is_true(abi())
  end)

  it("wants growth at the end of a table to be accepted, and then is content", function()
    change("runtime", "} tg_work_api;", "    int (*cancel)(void *ctx);\n} tg_work_api;")
    rise()
    assert.is_false(abi())
    assert.is_true(abi "--accept")
    assert.is_true(abi())
    assert.truthy(read(root .. "/abi.list"):find("cancel : int (*)(void *ctx)", 1, true))
  end)

  it("takes a new error number and a higher minor with acceptance", function()
    local last = [[X(AGAIN, -30, "would block")]]
    change("types", last, last .. [[ X(NEW, -31, "new")]])
    rise()
    assert.is_false(abi())
    assert.is_true(abi "--accept")
  end)

  it("wants a higher minor for what grows, since a plugin asks for it by that", function()
    change("runtime", "} tg_work_api;", "    int (*cancel)(void *ctx);\n} tg_work_api;")
    assert.is_false(abi "--accept")
    rise()
    assert.is_true(abi "--accept")
  end)

  it("refuses a member in what was padding: a plugin's stack is in it", function()
    local struct = "typedef struct tg_sink {"
    change("host", struct,
      "typedef struct tg_pad { uint32_t size; uint64_t a; uint32_t b;\n} tg_pad;\n" .. struct)
    rise()
    assert.is_true(abi "--accept")
    change("host", "uint32_t b;\n", "uint32_t b;\n    uint32_t c;\n")
    change("host", "#define TG_ABI_MINOR 9", "#define TG_ABI_MINOR 99")
    assert.is_false(abi "--accept")
  end)

  local breaks = {
    {
      "a member in the middle", "session",
      "    uint8_t clean_start;",
      "    uint8_t x, clean_start;",
    },
    {
      "a member that is gone", "session",
      "    uint8_t clean_start; ///< drop",
      "    ///< drop",
    },
    {
      "another type of the same size", "adapter",
      "    uint32_t transports; ",
      "    int32_t transports; ",
    },
    {
      "two members that changed places", "types",
      "    const char *at;\n    size_t len;",
      "    size_t len;\n    const char *at;",
    },
    {
      "a struct without a size that grows", "types",
      "typedef struct tg_op {\n    uint64_t id;",
      "typedef struct tg_op {\n    uint64_t id, more;",
    },
    { "another error number", "types", "X(LIMIT, -18,", "X(LIMIT, -48," },
    {
      "another signature", "adapter",
      "int (*pause)(tg_conn c);",
      "int (*pause)(tg_conn c, int how);",
    },
    {
      "an enumerator that moved", "store",
      "    TG_WRITE_PUT,\n",
      "    TG_WRITE_NEW,\n    TG_WRITE_PUT,\n",
    },
    { "another major", "host", "#define TG_ABI_MAJOR 1", "#define TG_ABI_MAJOR 2" },
  }
  for _, case in ipairs(breaks) do
    it("refuses " .. case[1] .. ", accepted or not", function()
      change(case[2], case[3], case[4])
      assert.is_false(abi())
      assert.is_false(abi "--accept")
    end)
  end
end)
