# reactnet-run, the example, and what `cmake --install` puts into a prefix: library, header, program, pkg-config and CMake packages.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_program ${CMAKE_CURRENT_LIST_DIR})
add_executable(reactnet-run
  ${_program}/answer.cc
  ${_program}/bench.cc
  ${_program}/image.cc
  ${_program}/main.cc
  ${_program}/model.cc
  ${_program}/options.cc
  ${_program}/text.cc)
target_link_libraries(reactnet-run PRIVATE reactnet)
set_target_properties(reactnet-run PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")

# The ABI's number is that of native/include/reactnet.h.
file(STRINGS native/include/reactnet.h _abi REGEX "define REACTNET_ABI_VERSION")
string(REGEX MATCH "[0-9]+" _abi "${_abi}")
set_target_properties(reactnet PROPERTIES VERSION ${_abi}.${PROJECT_VERSION} SOVERSION ${_abi})
target_include_directories(reactnet INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS reactnet EXPORT reactnet)
install(TARGETS reactnet-run)
install(FILES native/include/reactnet.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT reactnet FILE reactnet-config.cmake NAMESPACE reactnet:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/reactnet)
write_basic_package_version_file(reactnet-config-version.cmake COMPATIBILITY SameMajorVersion)
configure_file(${_program}/reactnet.pc.in reactnet.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/reactnet-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/reactnet)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/reactnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
