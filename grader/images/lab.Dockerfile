# One lab's image: the platform with the lab's modules as their starters, and the driver. No answer, no check.
ARG PACKAGES
FROM ${PACKAGES}
COPY minirun /opt/minirun/minirun
COPY minilab /opt/minirun/minilab
RUN ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/opt/minirun/minirun", "/opt/minirun/minilab"]
ENV MINIRUN_OVERLAY=/tmp/part MINIRUN_OVERLAY_STUBS=keep
USER 65534:65534
WORKDIR /tmp
ENTRYPOINT ["python3", "-m", "minilab.driver"]
